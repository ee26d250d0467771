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
  int heads = 0;  ///< query heads
  int kv_heads = 0;
  int head_dim = 0;
  std::int32_t tokens = 0;           ///< most tokens that will be fed to one row, prompt included
  DType dtype = DType::kF32;         ///< of the computation
  std::int32_t prompt = 0;           ///< longest prompt; 0: steps alone
  std::int32_t shortest_prompt = 0;  ///< 0: every prompt is as long

  [[nodiscard]] Feed feed() const { return prompt > 0 ? Feed::kPrompt : Feed::kSteps; }
  [[nodiscard]] kernels::HeadShape head_shape() const { return {heads, kv_heads, head_dim}; }
};

/// One kv_head's share of a layer.
struct HeadRoom {
  std::int32_t start = 0;
  std::int32_t capacity = 0;
};

/// Where a side's parts lie in the buffer of a layer; offsets in bytes.
struct SideLayout {
  kernels::Form form;
  int channels = 0;
  std::int32_t waiting_slots = 0;
  std::int32_t head_rows = 0;  ///< rows of codes that a head has for itself; 0: those of its slots
  bool is_pruned = false;      ///< kept_channels says which channels are stored
  std::size_t codes = 0;
  std::size_t scales = 0;
  std::size_t waiting = 0;
  std::size_t kept_channels = 0;
};

/// The slots of one layer's cache and the bytes that hold them.
struct LayerLayout {
  std::vector<HeadRoom> heads;  ///< [kv_heads]; with Selection::together() as before any cut
  std::int64_t slots = 0;       ///< of a batch row
  std::int64_t capacity = 0;    ///< most slots of one head
  SideLayout keys;
  SideLayout values;
  std::size_t bytes = 0;
};

/// Slots that a head's room is a multiple of: groups of slots that share a scale do not straddle
/// heads.
[[nodiscard]] std::int32_t slot_alignment(const Policy& policy, const CacheShape& shape);

[[nodiscard]] LayerLayout lay_out_layer(const Policy& policy, const CacheShape& shape, int layer);

/// Bytes that attention reads of one side of a head: `packed` entries in their form, `waiting` ones
/// as they were computed.
[[nodiscard]] double read_bytes(const SideLayout& side,
                                double packed,
                                double waiting,
                                const CacheShape& shape);

/// Every head has the room of the longest, so that slots of all heads lie at one stride.
[[nodiscard]] bool has_even_heads(const LayerLayout& layout);

/// The view of a layer laid out so and held in `buffer`.
[[nodiscard]] kernels::StoredView view_of(const LayerLayout& layout,
                                          const Buffer& buffer,
                                          kernels::HeadCursor* heads);

}  // namespace kvg::kvcompress
