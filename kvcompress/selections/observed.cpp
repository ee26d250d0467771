// The mean attention that each entry received from the prompt's queries that could see it: H2O's
// prompt score (arXiv:2306.14048) without its favour for old entries, as kvpress's
// ObservedAttention. Frees memory after each layer's prompt. Cost: a pass over all of the prompt's
// attention.

#include <array>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kKeepParam, kDecodeParam, kGroupParam};

class Observed final : public PromptCut {
 public:
  Observed(const Params& params, Feed feed)
      : PromptCut("observed", params, feed), reduce_(reduce_of(params)) {}

  [[nodiscard]] Needs needs(Feed /*feed*/) const override {
    return {.column_sums = true, .reduce = reduce_};
  }
  void score(const PromptContext& context) const override {
    context.scoring.by_age(context.scores);
  }

 private:
  kernels::Reduce reduce_;
};

}  // namespace

constinit const SelectionInfo kObserved{
    .name = "observed",
    .summary = "the mean attention received",
    .paper = "arXiv:2306.14048",
    .example = "observed_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Observed>(params, feed);
    },
};

}  // namespace kvg::kvcompress
