#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kvcompress/policy.h"

namespace kvg::kvcompress {

/// What a cache must be able to take.
struct CacheShape {
  int layers = 0;
  int batch = 1;
  int kv_heads = 0;
  int head_dim = 0;
  std::int32_t tokens = 0;  ///< most tokens that will be fed to one row
  DType dtype = DType::kF32;
};

/// The keys and values of every layer in storage of just the slots that the policy can fill.
///
/// begin() empties it. A step reads the cursor: the model's QKV projection writes the newest entry
/// into cursor->slot, attention sees cursor->entries, finish_step() makes room for the next.
/// Keys are stored after RoPE at their text positions and never move.
class KvCache {
 public:
  KvCache(kernels::Backend& backend, const Policy& policy, const CacheShape& shape);

  /// Slots per kv_head: min(budget + 1, shape.tokens).
  [[nodiscard]] static std::int64_t slots(const Policy& policy, const CacheShape& shape);
  /// Bytes of KV storage that a cache of this shape holds.
  [[nodiscard]] static std::size_t kv_bytes(const Policy& policy, const CacheShape& shape);
  /// Bytes of everything else it holds on the device (class kObservations).
  [[nodiscard]] static std::size_t bookkeeping_bytes(const Policy& policy, const CacheShape& shape);

  /// Empties the cache: the next token has position 0.
  void begin();

  /// Enqueues the move to the next position; part of a captured step.
  void enqueue_finish_step();
  /// Counts a step on the host; called after every step, captured or not.
  void count_step() { ++fed_; }

  /// True when a prompt of `tokens` fits uncut, so that prefill can write straight into layer().
  [[nodiscard]] bool takes_whole(std::int32_t tokens) const;
  /// Settles what stays of a prompt that does not fit; before the keep_of_prompt() of its layers.
  void begin_prompt(std::int32_t tokens);
  /// Enqueues the copy of what stays of one layer, held in `prompt` with slot = position.
  void keep_of_prompt(int layer, const kernels::KvView& prompt);
  /// Sets the cursor of the first step after a prompt, cut or written in place.
  void finish_prompt(std::int32_t tokens);

  [[nodiscard]] const CacheShape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t capacity() const { return slots_; }
  [[nodiscard]] kernels::KvView layer(int layer) const;
  [[nodiscard]] const kernels::StepCursor* cursor() const;
  [[nodiscard]] const kernels::SlotRule& rule() const { return rule_; }
  [[nodiscard]] std::int32_t tokens_fed() const { return fed_; }
  /// Mean entries kept per layer and kv_head after the last step or prompt.
  [[nodiscard]] double mean_entries() const;

 private:
  void set_cursor(std::int32_t position);

  kernels::Backend& backend_;
  CacheShape shape_;
  kernels::SlotRule rule_;
  std::int64_t budget_ = 0;
  std::int64_t slots_ = 0;
  std::int32_t fed_ = 0;
  int kept_ = 0;  ///< entries that stay of the prompt being fed
  std::shared_ptr<const Selection> selection_;
  std::vector<Buffer> layers_;  ///< each [2 (K, V), batch, kv_heads, slots, head_dim]
  Buffer bookkeeping_;  ///< cursor, then [2, slots]: where a prompt's kept entries are and go
};

}  // namespace kvg::kvcompress
