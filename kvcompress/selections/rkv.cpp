// R-KV (Cai et al., arXiv:2505.24133): keeps what recent queries attend to and what is not said
// twice: lambda x importance - (1 - lambda) x redundancy, per kv_head, the newest `window` entries
// protected. Evicts from the prompt on. Frees memory: one slot more than the budget is held, and
// `window` rows of scores. Cost a step: the likeness of all kept keys with each other, O(budget^2 x
// head_dim).
//
// What differs from the paper's code: one entry leaves at every step (there, 128 at once whenever
// so many have come on top), and logits are stored when a query passes instead of being computed
// again.

#include <array>

#include "kernels/core/error.h"
#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam,
                             kKeepParam,
                             ParamInfo{.name = "window",
                                       .default_value = "8",
                                       .min = 1,
                                       .max = 64,
                                       .help = "newest entries that stay, and queries that score"},
                             ParamInfo{.name = "kernel",
                                       .default_value = "7",
                                       .min = 1,
                                       .max = 63,
                                       .help = "neighbours whose largest importance counts; odd"},
                             ParamInfo{.name = "lambda",
                                       .type = ParamInfo::Type::kReal,
                                       .default_value = "0.1",
                                       .max = 1,
                                       .help = "share of importance in the score"}};

class Rkv final : public Selection {
 public:
  Rkv(const Params& params, Feed feed)
      : budget_("rkv", params, feed, params.integer("window") + 1, "window + 1"),
        rule_{.window = static_cast<int>(params.integer("window")),
              .kernel = static_cast<int>(params.integer("kernel")),
              .lambda = params.real("lambda")} {
    if (rule_.kernel % 2 == 0) {
      throw InvalidArgument("policy rkv: kernel=" + std::to_string(rule_.kernel) +
                            " is even; allowed: odd numbers");
    }
  }

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int /*kv_head*/) const override {
    return {.kept = budget_.of_prompt(layer.prompt), .budget = budget_.of_steps(layer.prompt)};
  }
  void check_prompt(std::int32_t tokens) const override { budget_.check_prompt(tokens); }
  [[nodiscard]] Leaving leaving() const override { return Leaving::kScores; }
  [[nodiscard]] EvictRule evict_rule() const override {
    return {.update = kernels::Update::kGiven, .recent = rule_.window};
  }
  [[nodiscard]] std::optional<RedundancyRule> redundancy() const override { return rule_; }
  [[nodiscard]] Needs needs(Feed feed) const override {
    return {.window = feed == Feed::kPrompt ? rule_.window : 0, .step_scores = true};
  }
  [[nodiscard]] std::string requested() const override { return budget_.requested(); }

  void score(const PromptContext& context) const override {
    const kernels::PromptScores& to = context.scores;
    context.scoring.window_rows({.out = context.logits,
                                 .query = context.queries,
                                 .kv = to.kv,
                                 .window = rule_.window,
                                 .keys = to.keys,
                                 .shape = to.shape,
                                 .batch = to.batch,
                                 .scale = context.scale,
                                 .logits = true});
    context.scoring.redundancy({.scores = to.out,
                                .positions = nullptr,
                                .keys = context.prompt_keys,
                                .logits = context.logits,
                                .shape = to.shape,
                                .batch = to.batch,
                                .window = rule_.window,
                                .kernel = rule_.kernel,
                                .lambda = rule_.lambda,
                                .always = true});
  }

 private:
  Budget budget_;
  RedundancyRule rule_;
};

}  // namespace

constinit const SelectionInfo kRkv{
    .name = "rkv",
    .summary = "what recent queries attend to, less what is redundant",
    .paper = "arXiv:2505.24133",
    .example = "rkv_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Rkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
