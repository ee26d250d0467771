#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/form.h"

namespace kvg::kernels::cpu {

/// One kv_head of one batch row of one side of a layer.
struct StoredHead {
  const StoredSide* side = nullptr;
  int index = 0;               ///< batch row * kv_heads + kv_head
  std::int64_t first_row = 0;  ///< of its slots in `codes`
  std::int32_t packed = 0;     ///< entries that do not wait
  int head_dim = 0;

  [[nodiscard]] std::byte* codes(std::int64_t slot) const {
    return static_cast<std::byte*>(side->codes) +
           static_cast<std::size_t>(first_row + slot) * code_row_bytes(side->form, side->channels);
  }
  [[nodiscard]] std::byte* scales(std::int64_t slot) const {
    const std::int64_t row = first_row + slot;
    return static_cast<std::byte*>(side->scales) +
           static_cast<std::size_t>(side->form.per_channel ? row / side->form.group : row) *
               scale_row_bytes(side->form, side->channels);
  }
  /// [head_dim] of an entry that waits.
  [[nodiscard]] float* waiting(std::int64_t entry) const {
    const std::int64_t row =
        std::int64_t{index} * side->waiting_slots + entry % side->waiting_slots;
    return static_cast<float*>(side->waiting) + row * head_dim;
  }
  /// Channels that are stored, or null for all.
  [[nodiscard]] const std::int16_t* kept_channels() const {
    return side->kept_channels == nullptr
               ? nullptr
               : side->kept_channels + std::ptrdiff_t{index} * side->channels;
  }
};

/// Rows are what operations compute with: f32, all channels, not transformed.
[[nodiscard]] constexpr bool is_plain(const StoredSide& side) {
  return side.form == Form{} && side.kept_channels == nullptr;
}

/// Of a native form.
[[nodiscard]] constexpr DType dtype_of(const Form& form) {
  return form.code == Code::kF16    ? DType::kF16
         : form.code == Code::kBF16 ? DType::kBF16
                                    : DType::kF32;
}

/// Most slots that share a scale (per_channel).
inline constexpr int kMostGroupedSlots = 256;
/// Floats of scratch that writing a head's rows takes.
[[nodiscard]] constexpr std::size_t writer_floats(std::size_t head_dim) {
  return kMostGroupedSlots * head_dim;
}

/// Floats of scratch that reading a head's rows takes beside the rows.
[[nodiscard]] constexpr std::size_t row_scratch_floats(std::size_t head_dim) {
  return 4 * head_dim;
}

struct ReadRowsArgs {
  StoredHead head;
  const std::int32_t* entries = nullptr;  ///< [count]
  std::size_t count = 0;
  float* out = nullptr;      ///< [count, head_dim]
  float* scratch = nullptr;  ///< [row_scratch_floats()]
};

/// Widens entries as they are stored: transformed if the form says so (those that wait, too), and
/// with zeros for pruned channels.
void read_rows(const ReadRowsArgs& args);

}  // namespace kvg::kernels::cpu
