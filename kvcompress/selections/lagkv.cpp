// LagKV (Liang et al., arXiv:2504.04704): entries that stand out against the partition of `lag`
// tokens after theirs, keys and values alike; sinks, the last full partition and the tail stay, and
// every other partition keeps the same share. Frees memory after each layer's prompt. Where the
// budget holds no more than that, or the prompt has less than sinks + 2 lag tokens, sinks and the
// newest stay.

#include <array>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam,
                             kKeepParam,
                             kDecodeParam,
                             ParamInfo{.name = "sinks",
                                       .default_value = "4",
                                       .min = 0,
                                       .max = kMaxBudget,
                                       .help = "first entries, which stay"},
                             ParamInfo{.name = "lag",
                                       .default_value = "128",
                                       .min = 2,
                                       .max = 4096,
                                       .help = "tokens of a partition"}};

class Lagkv final : public PromptCut {
 public:
  Lagkv(const Params& params, Feed feed)
      : PromptCut("lagkv", params, feed, params.integer("sinks") + 1, "sinks + 1"),
        sinks_(static_cast<int>(params.integer("sinks"))),
        lag_(static_cast<int>(params.integer("lag"))) {}
  void score(const PromptContext& context) const override {
    context.scoring.lag({.to = context.scores, .sinks = sinks_, .lag = lag_});
  }

 private:
  int sinks_;
  int lag_;
};

}  // namespace

constinit const SelectionInfo kLagkv{
    .name = "lagkv",
    .summary = "entries that stand out against those after them",
    .paper = "arXiv:2504.04704",
    .example = "lagkv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Lagkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
