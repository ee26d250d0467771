// StreamingLLM (Xiao et al., arXiv:2309.17453): attention sinks and a window. Frees memory: one
// slot more than the budget is ever held.
//
// What differs from the paper's code: keys are stored after RoPE and never turned again. With cache
// positions the query is turned twice instead, to its text position for the window and to the last
// position of the kept cache for the sinks; only differences matter to RoPE, so the result is the
// same.

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/sink_window.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam,
                             kKeepParam,
                             ParamInfo{.name = "sinks",
                                       .default_value = "4",
                                       .min = 0,
                                       .max = kMaxBudget,
                                       .help = "first entries that always stay; at most budget"},
                             kDecodeParam,
                             kPositionsParam};

}  // namespace

constinit const SelectionInfo kStreaming{
    .name = "streaming",
    .summary = "attention sinks and the newest entries",
    .paper = "arXiv:2309.17453",
    .example = "streaming_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<SinkWindow>("streaming", params, feed, params.integer("sinks"));
    },
};

}  // namespace kvg::kvcompress
