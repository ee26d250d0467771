// The sliding-window baseline of StreamingLLM (Xiao et al., arXiv:2309.17453): the newest entries
// and nothing else. Frees memory: one slot more than the budget is ever held. The window slides
// over cached entries; nothing is recomputed. Without sinks both position modes give the same
// result.

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/sink_window.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kKeepParam, kDecodeParam, kPositionsParam};

}  // namespace

constinit const SelectionInfo kWindow{
    .name = "window",
    .summary = "the newest entries",
    .paper = "arXiv:2309.17453",
    .example = "window_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<SinkWindow>("window", params, feed, 0);
    },
};

}  // namespace kvg::kvcompress
