// A sliding window: the newest `budget` entries stay. Frees memory: one slot more than the budget
// is ever held. Positions make no difference without sinks, since RoPE knows differences alone.

#include <array>

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/sink_window.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kPositionsParam};

}  // namespace

constinit const SelectionInfo kWindow{
    .name = "window",
    .summary = "the newest entries stay",
    .paper = "arXiv:2309.17453, its window attention baseline",
    .params = kParams,
    .make = [](const Params& params) -> std::unique_ptr<const Selection> {
      return std::make_unique<SinkWindow>(params, 0);
    },
};

}  // namespace kvg::kvcompress
