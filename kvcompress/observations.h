#pragma once

#include <cstddef>
#include <cstdint>

#include "kvcompress/storage.h"

namespace kvg::kvcompress {

/// Where everything that a cache keeps beside its entries lies in one buffer; offsets in bytes.
/// Parts that a policy does not need are empty. Layers share what is used up within a layer.
struct ObservationLayout {
  std::size_t cursor = 0;           ///< StepCursor
  std::size_t heads = 0;            ///< HeadCursor [layers, batch, kv_heads]
  std::size_t prompt_heads = 0;     ///< HeadCursor [batch, kv_heads]: a prompt as if stored
  std::size_t counts = 0;           ///< int32 [kv_heads]: entries kept of the layer being cut
  std::size_t kept = 0;             ///< int32 [batch, kv_heads, kept_stride]
  std::size_t queries = 0;          ///< [batch, window, heads, head_dim], the selection's window
  std::size_t channel_queries = 0;  ///< likewise, the window that chooses channels
  std::size_t rows = 0;             ///< float [batch, heads, prompt]
  std::size_t scores = 0;           ///< double [batch, kv_heads, prompt]
  std::size_t spare = 0;            ///< likewise
  std::size_t sums = 0;             ///< double [batch, heads, head_dim]
  std::size_t products = 0;         ///< double [batch, heads, head_dim, head_dim]
  std::size_t prompt_logits = 0;    ///< float [window, batch, kv_heads, prompt]
  std::size_t newest = 0;       ///< [2, batch, kv_heads, head_dim]: on their way into a packed form
  std::size_t step_scores = 0;  ///< float [batch, heads, capacity]
  std::size_t pages = 0;        ///< int32 [batch, kv_heads, pages read]
  std::size_t layers = 0;       ///< where the layers' own parts begin
  std::size_t layer_stride = 0;    ///< bytes of one layer's own parts
  std::size_t slot_scores = 0;     ///< in a layer's part: double [batch, slots]
  std::size_t slot_positions = 0;  ///< int32 [batch, slots]
  std::size_t logits = 0;          ///< float [window, batch, kv_heads, capacity]
  std::size_t bounds = 0;          ///< float [batch, kv_heads, pages, 2, head_dim]
  std::size_t total = 0;

  std::int64_t kept_stride = 0;
  std::int64_t capacity = 0;  ///< most slots of a head of any layer
  std::int64_t slots = 0;     ///< most slots of a batch row of any layer
  int pages_read = 0;         ///< a kv_head and step
  int all_pages = 0;          ///< of a kv_head
};

/// Both sides are of the compute dtype, nothing waits and nobody else looks at the newest entry:
/// steps and whole prompts write entries straight into slots.
[[nodiscard]] bool writes_straight(const Policy& policy, const CacheShape& shape);

/// Some prompt has to be cut, or its entries or channels scored.
[[nodiscard]] bool scores_prompts(const Policy& policy, const CacheShape& shape);

[[nodiscard]] ObservationLayout lay_out_observations(const Policy& policy, const CacheShape& shape);

/// Longest prompt of which entries are scored, most slots of a head that steps score, and most
/// pages that they choose from; all for the backend's scratch memory. 0: none.
struct ScoredSizes {
  std::int64_t keys = 0;
  std::int64_t slots = 0;
  std::int64_t pages = 0;
};
[[nodiscard]] ScoredSizes scored_sizes(const Policy& policy, const CacheShape& shape);

}  // namespace kvg::kvcompress
