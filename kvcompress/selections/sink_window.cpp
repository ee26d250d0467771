#include "kvcompress/selections/sink_window.h"

#include <algorithm>

namespace kvg::kvcompress {

SinkWindow::SinkWindow(const Params& params, long sinks)
    : budget_(static_cast<std::int32_t>(params.integer("budget"))),
      sinks_(static_cast<std::int32_t>(sinks)),
      cache_positions_(params.choice("positions") == "cache") {}

kernels::SlotRule SinkWindow::slot_rule() const {
  return {.slots = budget_ + 1, .sinks = sinks_, .cache_positions = cache_positions_};
}

std::vector<std::int32_t> SinkWindow::keep_of_prompt(std::int32_t tokens) const {
  const std::int32_t kept = std::min(tokens, budget_);
  std::vector<std::int32_t> positions(static_cast<std::size_t>(kept));
  for (std::int32_t i = 0; i < kept; ++i) {
    positions[static_cast<std::size_t>(i)] = i < sinks_ ? i : tokens - kept + i;
  }
  return positions;
}

}  // namespace kvg::kvcompress
