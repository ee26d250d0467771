// H2O (Zhang et al., arXiv:2306.14048): the newest `recent` entries and, of the others, those with
// the largest sum of attention over all queries so far, per kv_head. Evicts from the prompt on, one
// entry a step. Frees memory: one slot more than the budget is held. Cost: a pass over all of a
// prompt's attention, and a row of probabilities a step.
//
// What differs from the paper's code: sums are causal everywhere (its evaluation masks look at
// future queries), query heads of a group are added up (group=), and normalise=age divides a sum by
// the number of queries that saw the entry, as OpenVINO does.

#include <algorithm>
#include <array>
#include <string>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    kBudgetParam,
    kKeepParam,
    ParamInfo{.name = "recent",
              .optional = true,
              .min = 1,
              .max = kMaxBudget,
              .help = "newest entries that stay; default: half of the budget"},
    ParamInfo{.name = "normalise",
              .type = ParamInfo::Type::kChoice,
              .default_value = "none",
              .choices = "age|none",
              .help = "age: sums are divided by the number of queries that saw the entry"},
    ParamInfo{.name = "group",
              .type = ParamInfo::Type::kChoice,
              .default_value = "sum",
              .choices = "mean|max|sum",
              .help = "how the query heads of a kv_head become one score"}};

std::int32_t given_recent(const Params& params) {
  return params.has("recent") ? static_cast<std::int32_t>(params.integer("recent"))
                              : kernels::kHalfOfBudget;
}

class H2o final : public Selection {
 public:
  H2o(const Params& params, Feed feed)
      : recent_(given_recent(params)),
        budget_("h2o", params, feed, std::max(recent_, 1), "recent=" + std::to_string(recent_)),
        reduce_(reduce_of(params)),
        by_age_(params.text("normalise") == "age") {}

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int /*kv_head*/) const override {
    return {.kept = budget_.of_prompt(layer.prompt), .budget = budget_.of_steps(layer.prompt)};
  }
  void check_prompt(std::int32_t tokens) const override { budget_.check_prompt(tokens); }
  [[nodiscard]] Leaving leaving() const override { return Leaving::kScores; }
  [[nodiscard]] EvictRule evict_rule() const override {
    return {
        .update = kernels::Update::kSum, .reduce = reduce_, .by_age = by_age_, .recent = recent_};
  }
  [[nodiscard]] Needs needs(Feed feed) const override {
    // The scores are the sums themselves, so that later steps add to them.
    return {.column_sums = feed == Feed::kPrompt, .reduce = reduce_, .step_scores = true};
  }
  [[nodiscard]] std::string requested() const override { return budget_.requested(); }

  void score(const PromptContext& /*context*/) const override {}

 private:
  std::int32_t recent_;
  Budget budget_;
  kernels::Reduce reduce_;
  bool by_age_;
};

}  // namespace

constinit const SelectionInfo kH2o{
    .name = "h2o",
    .summary = "heavy hitters: the most attended so far, and the newest",
    .paper = "arXiv:2306.14048",
    .example = "h2o_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<H2o>(params, feed);
    },
};

}  // namespace kvg::kvcompress
