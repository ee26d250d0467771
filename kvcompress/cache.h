#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kvcompress/observations.h"
#include "kvcompress/policy.h"
#include "kvcompress/storage.h"

namespace kvg::kvcompress {

/// What a layer of a model lends to a selection that scores a prompt.
struct LayerParts {
  kernels::Turn turn;
  kernels::Linear output;  ///< the attention's output projection
};

/// Entries kept of a prompt, over layers, batch rows and kv_heads.
struct KeptEntries {
  double mean = 0.0;
  std::int64_t min = 0;
  std::int64_t max = 0;
};

/// Entries kept of a text that was fed in so many steps.
[[nodiscard]] KeptEntries kept_of_steps(const Policy& policy,
                                        const CacheShape& shape,
                                        std::int32_t steps);

/// The keys and values of every layer, in storage of just the slots that the policy can fill and in
/// the form it stores them.
///
/// begin() empties it. A step, layer by layer: the model's QKV projection writes the newest entry
/// to step_target(), enqueue_append() puts it into its slot, attention reads stored() (and
/// pages()), and enqueue_after_attend() decides who leaves; enqueue_finish_step() moves on. A
/// prompt: begin_prompt(), then layer by layer observe() for every chunk and keep_of_prompt(), then
/// finish_prompt(). Keys are stored after RoPE at their text positions and never move.
class KvCache {
 public:
  KvCache(kernels::Backend& backend, const Policy& policy, const CacheShape& shape);

  /// Bytes of KV storage that a cache of this shape holds.
  [[nodiscard]] static std::size_t kv_bytes(const Policy& policy, const CacheShape& shape);
  /// Bytes of everything else it holds on the device (class kObservations).
  [[nodiscard]] static std::size_t observation_bytes(const Policy& policy, const CacheShape& shape);
  /// True when prompts of this shape may have to lie whole beside the cache, layer by layer.
  [[nodiscard]] static bool needs_prompt_room(const Policy& policy, const CacheShape& shape);

  /// Empties the cache: the next token has position 0.
  void begin();

  /// Where a step's projection writes: KvView and the head cursors of a straight write, or null.
  [[nodiscard]] kernels::KvView step_target(int layer) const;
  [[nodiscard]] const kernels::HeadCursor* step_heads(int layer) const;
  void enqueue_append(int layer) const;
  [[nodiscard]] kernels::StoredView stored(int layer) const;
  /// The pages to read for `query` [batch, heads, head_dim]; enqueues their choice.
  [[nodiscard]] kernels::PageView enqueue_pages(int layer, const void* query) const;
  /// Where attention leaves its scores, or null.
  [[nodiscard]] float* step_scores() const;
  void enqueue_after_attend(int layer) const;
  void enqueue_finish_step() const;
  /// Counts a step on the host; called after every step, captured or not.
  void count_step() { ++steps_; }

  /// True when a prompt of `tokens` is kept whole and as it is, so that it can be written straight
  /// into layer().
  [[nodiscard]] bool takes_whole(std::int32_t tokens) const;
  /// The storage of a layer for takes_whole().
  [[nodiscard]] kernels::KvView layer(int layer) const;
  /// Settles how much stays of a prompt; before anything else of it.
  void begin_prompt(std::int32_t tokens);
  /// Looks at a chunk of queries whose keys and values are in `kv` (of the chunk's batch rows).
  void observe(const kernels::QueryChunk& chunk,
               const kernels::KvView& kv,
               const LayerParts& parts);
  /// Cuts and stores one layer, held in `prompt` with slot = position.
  void keep_of_prompt(int layer, const kernels::KvView& prompt, const LayerParts& parts);
  /// Sets the cursors of the first step after a prompt.
  void finish_prompt();

  [[nodiscard]] const CacheShape& shape() const { return shape_; }
  [[nodiscard]] const kernels::StepCursor* cursor() const;
  /// Sinks that the query looks at from another position; 0: none.
  [[nodiscard]] int turned_sinks() const { return turned_sinks_; }
  [[nodiscard]] std::int32_t tokens_fed() const { return prompt_ + steps_; }
  /// Mean entries kept per layer and kv_head after the last step or prompt.
  [[nodiscard]] double mean_entries() const;
  /// Right after the last prompt's cut; without a prompt, now.
  [[nodiscard]] KeptEntries kept_entries() const;
  /// Bytes held per stored element, in bits: codes, scales, zeros and what waits.
  [[nodiscard]] double bits_per_element() const;
  /// Bytes of keys, values and page bounds that the next step reads of one batch.
  [[nodiscard]] double step_read_bytes() const;

 private:
  struct HeadCount {
    std::int32_t kept = 0;    ///< of the prompt
    std::int64_t budget = 0;  ///< 0: appends
  };

  /// Entries that are in their packed form; later ones wait.
  struct Packed {
    std::int64_t keys = kernels::kUnlimited;
    std::int64_t values = kernels::kUnlimited;
  };

  void keep_first_channels(int layer);
  [[nodiscard]] LayerShape layer_shape(int layer) const;
  [[nodiscard]] kernels::HeadCursor first_cursor(int layer,
                                                 int kv_head,
                                                 const HeadPlan& plan) const;
  void make_cursors();
  [[nodiscard]] Packed packed_of(int layer, std::int64_t kept, std::int64_t entries) const;
  void settle_packed(int layer, kernels::HeadCursor& head) const;
  void settle_shared_cut(int layer);
  [[nodiscard]] PromptContext context(int layer,
                                      const kernels::KvView& prompt,
                                      const LayerParts& parts) const;
  void choose(int layer, const PromptContext& context);
  void keep_for_steps(int layer, const PromptContext& context) const;
  [[nodiscard]] bool scores_layer(int layer) const;
  [[nodiscard]] std::int64_t entries_of(const HeadCount& head) const;
  [[nodiscard]] std::int64_t entries_in_pages(std::int64_t entries) const;
  template <typename T>
  [[nodiscard]] T* at(std::size_t offset) const {
    return observations_.as<T>(offset);
  }
  template <typename T>
  [[nodiscard]] T* of_layer(int layer, std::size_t offset) const {
    return at<T>(at_.layers + static_cast<std::size_t>(layer) * at_.layer_stride + offset);
  }
  [[nodiscard]] kernels::HeadCursor* heads(int layer) const;

  kernels::Backend& backend_;
  CacheShape shape_;
  std::shared_ptr<const Selection> selection_;
  Codec codec_;
  EvictRule rule_;
  Needs needs_;
  bool evicts_by_scores_ = false;
  bool straight_ = false;  ///< steps write entries into their slots themselves
  bool scores_prompts_ = false;
  std::int32_t align_ = 1;
  int turned_sinks_ = 0;
  std::vector<LayerLayout> layouts_;
  ObservationLayout at_;
  std::vector<Buffer> layers_;
  Buffer observations_;
  std::int32_t prompt_ = 0;  ///< tokens of the prompt fed
  std::int32_t steps_ = 0;
  std::vector<HeadCount> counts_;             ///< [layers, batch, kv_heads]
  std::vector<kernels::HeadCursor> cursors_;  ///< likewise: what was uploaded last
};

}  // namespace kvg::kvcompress
