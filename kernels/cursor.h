#pragma once

#include <cstdint>
#include <limits>

namespace kvg::kernels {

/// Where the sequences of a batch are. Lives in device memory, so that one captured graph serves
/// every step; all rows of a batch and all layers share it.
struct StepCursor {
  std::int32_t position = 0;       ///< text position of the token being fed
  std::int32_t sink_position = 0;  ///< position from which the query looks at the sinks
};

inline constexpr std::int32_t kUnlimited = std::numeric_limits<std::int32_t>::max();

/// The slots of one kv_head of one batch row of one layer, in device memory. Heads may differ in
/// all of it, so a ragged cache is one allocation with every head's own start.
///
/// The first `limit` entries fill slots 0 .. limit - 1 in order; after that each new entry
/// overwrites one that leaves: the next of the ring [sinks, limit), or whatever slot an eviction
/// chose. `packed_keys` and `packed_values` say how many of the entries are in their packed form;
/// later ones wait in native form (only append-only caches have such).
struct HeadCursor {
  std::int32_t start = 0;           ///< first slot, counted from the first of the batch row
  std::int32_t limit = kUnlimited;  ///< slots that this head may fill; budget + 1 when it evicts
  std::int32_t sinks = 0;           ///< first slots that the ring leaves alone; below `limit`
  std::int32_t entries = 1;         ///< entries that attention sees, the newest included
  std::int32_t slot = 0;            ///< slot of the newest entry, counted from `start`
  std::int32_t packed_keys = kUnlimited;
  std::int32_t packed_values = kUnlimited;
};

/// The cursor of the step after this one, for heads that append or walk a ring.
constexpr HeadCursor next_of(HeadCursor head) {
  if (head.entries < head.limit) {
    head.slot = head.entries;
    ++head.entries;
  } else {
    head.slot = head.slot + 1 < head.limit ? head.slot + 1 : head.sinks;
  }
  return head;
}

}  // namespace kvg::kernels
