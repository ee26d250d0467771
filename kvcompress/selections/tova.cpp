// TOVA (Oren et al., arXiv:2401.06104): the entry that the newest query attends to least leaves,
// the same in every kv_head of a layer (mean over all query heads); the newest entry stays. As a
// cut of a prompt: those that its last query attends to most. Frees memory. Cost: one row of
// probabilities a step.

#include <array>

#include "kernels/core/error.h"
#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kKeepParam, kDecodeParam};

class Tova final : public PromptCut {
 public:
  Tova(const Params& params, Feed feed) : PromptCut("tova", params, feed) {}

  [[nodiscard]] EvictRule evict_rule() const override {
    return {.update = kernels::Update::kReplace, .reduce = kernels::Reduce::kAll};
  }
  [[nodiscard]] Needs needs(Feed feed) const override {
    const bool prompt = feed == Feed::kPrompt;
    return {.window = prompt ? 1 : 0, .rows = prompt, .step_scores = binds()};
  }
  void score(const PromptContext& context) const override {
    context.scoring.pool({.to = context.scores,
                          .rows = context.rows,
                          .columns = context.scores.keys,
                          .reduce = kernels::Reduce::kAll});
    context.scoring.protect(context.scores, 0, 1);
  }
};

}  // namespace

constinit const SelectionInfo kTova{
    .name = "tova",
    .summary = "what the newest query attends to",
    .paper = "arXiv:2401.06104",
    .example = "tova_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Tova>(params, feed);
    },
};

}  // namespace kvg::kvcompress
