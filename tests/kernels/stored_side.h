#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/form.h"
#include "tests/support/device_data.h"

namespace kvg::kernels {

/// A layer whose heads differ in length.
struct StoredShape {
  HeadShape shape;
  int batch = 1;
  std::vector<std::int32_t> entries;  ///< [batch x kv_heads]
  std::int32_t room = 8;              ///< slots that a head has beyond its entries

  [[nodiscard]] int heads() const { return batch * shape.kv_heads; }
  /// Slots of a head: whole groups of 32, as forms with scales along slots want them.
  [[nodiscard]] std::int32_t slots_of(int head) const;
  /// Where a head starts in its batch row, with 32 slots between heads that nothing may touch.
  [[nodiscard]] std::int32_t start_of(int head) const;
  [[nodiscard]] std::int64_t slots() const;     ///< of a batch row
  [[nodiscard]] std::int64_t capacity() const;  ///< most of a head
};

/// Keys or values of a StoredCache: the memory they lie in, and what was given to it.
class StoredSideData {
 public:
  struct Params {
    Form form;
    int channels = 0;
    int waiting_slots = 0;
  };
  StoredSideData(Backend& backend, const Params& params, const StoredShape& layer);

  [[nodiscard]] StoredSide side() const;

  /// Entry `slot` of a head is `x` from now on: [head_dim], as the compute dtype holds it.
  void set(int head, std::int32_t slot, std::vector<float> x);
  /// By codec.h alone, what entries read as when the first `packed` of them do not wait.
  [[nodiscard]] testing_support::Values read(int head,
                                             const std::vector<std::int32_t>& entries,
                                             std::int32_t packed) const;

  /// Memory differs from how it was only in rows of the first `packed` of a head's entries, and of
  /// those that wait.
  void expect_untouched(const HeadCursor* heads, bool is_keys, const std::string& what) const;

 private:
  [[nodiscard]] bool is_pruned() const { return params_.channels < layer_.shape.head_dim; }
  [[nodiscard]] std::vector<std::int16_t> kept_channels(int head) const;
  [[nodiscard]] std::vector<float> read_row(int head, std::int32_t slot) const;
  [[nodiscard]] std::vector<float> read_of_group(int head, std::int32_t slot) const;

  Params params_;
  StoredShape layer_;
  std::vector<std::vector<std::vector<float>>> given_;  ///< [heads, slots, head_dim]
  testing_support::DeviceBytes codes_;
  testing_support::DeviceBytes scales_;
  testing_support::DeviceBytes waiting_;
  testing_support::DeviceBytes kept_;
};

}  // namespace kvg::kernels
