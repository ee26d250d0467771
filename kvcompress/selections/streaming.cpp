// StreamingLLM (Xiao et al., arXiv:2309.17453): attention sinks and a window. Frees memory: one
// slot more than the budget is ever held.
//
// What differs from the paper's code: keys are stored after RoPE and never turned again. With cache
// positions the query is turned twice instead, to its text position for the window and to
// min(position, budget) for the sinks; only differences matter to RoPE, so the result is the same.

#include <array>
#include <string>

#include "kernels/core/error.h"
#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/sink_window.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam,
                             ParamInfo{.name = "sinks",
                                       .default_value = "4",
                                       .min = 0,
                                       .max = kMaxBudget,
                                       .help = "first entries that always stay; at most budget"},
                             kPositionsParam};

std::unique_ptr<const Selection> make(const Params& params) {
  const long budget = params.integer("budget");
  const long sinks = params.integer("sinks");
  if (sinks > budget) {
    throw InvalidArgument("policy streaming: budget=" + std::to_string(budget) +
                          " is below sinks=" + std::to_string(sinks) +
                          "; sinks is at most the budget");
  }
  return std::make_unique<SinkWindow>(params, sinks);
}

}  // namespace

constinit const SelectionInfo kStreaming{
    .name = "streaming",
    .summary = "attention sinks and the newest entries stay",
    .paper = "arXiv:2309.17453",
    .params = kParams,
    .make = make,
};

}  // namespace kvg::kvcompress
