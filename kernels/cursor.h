#pragma once

#include <cstdint>
#include <limits>

namespace kvg::kernels {

/// What the current step of a cache is about. Lives in device memory, so that one captured graph
/// serves every step; all rows of a batch and all layers share it.
struct StepCursor {
  std::int32_t position = 0;       ///< text position of the token being fed
  std::int32_t entries = 0;        ///< entries that attention sees, the newest included
  std::int32_t slot = 0;           ///< storage slot of the newest entry
  std::int32_t sink_position = 0;  ///< position at which the query looks at the sinks
};

inline constexpr std::int32_t kUnlimitedSlots = std::numeric_limits<std::int32_t>::max();

/// How a static selection walks its slots: the first `slots` tokens fill them in order, then every
/// token overwrites the oldest entry that is no sink. Slots [0, sinks) never change again.
struct SlotRule {
  std::int32_t slots = kUnlimitedSlots;  ///< budget + 1: the newest entry comes on top
  std::int32_t sinks = 0;                ///< below `slots`
  bool cache_positions = false;  ///< sinks lie right before the window, not at their text positions
};

/// The cursor of the step that feeds the token at `position`.
///
/// With cache positions the kept entries have positions 0 .. entries - 1. Only differences matter
/// to RoPE, so the window stays at its text positions, and the query looks at the sinks from
/// min(position, slots - 1).
constexpr StepCursor cursor_at(std::int32_t position, const SlotRule& rule) {
  const bool full = position >= rule.slots;
  return {
      .position = position,
      .entries = full ? rule.slots : position + 1,
      .slot = full ? rule.sinks + (position - rule.sinks) % (rule.slots - rule.sinks) : position,
      .sink_position = rule.cache_positions && full ? rule.slots - 1 : position};
}

}  // namespace kvg::kernels
