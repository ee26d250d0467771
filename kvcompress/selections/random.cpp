// A uniform sample of the entries, drawn anew for every layer and kv_head: each entry has a fixed
// pseudo-random score, and the lowest leaves. Every table should hold it: what does not beat it has
// chosen nothing. protect=prompt keeps the whole prompt and lets the budget count what comes after.

#include <array>

#include "kernels/core/error.h"
#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr long kMaxSeed = 1'000'000'000;

constexpr std::array kParams{
    kBudgetParam,
    kKeepParam,
    kDecodeParam,
    ParamInfo{.name = "protect",
              .type = ParamInfo::Type::kChoice,
              .default_value = "none",
              .choices = "none|prompt",
              .help = "prompt: its entries all stay, and budget counts those after it"},
    ParamInfo{
        .name = "seed", .default_value = "0", .min = 0, .max = kMaxSeed, .help = "of the scores"}};

class Random final : public PromptCut {
 public:
  Random(const Params& params, Feed feed)
      : PromptCut("random", params, feed),
        seed_(static_cast<std::uint64_t>(params.integer("seed"))),
        whole_prompt_(params.text("protect") == "prompt") {
    if (whole_prompt_ && (feed == Feed::kSteps || !binds())) {
      throw InvalidArgument(
          "policy random: protect=prompt needs a prompt and decode=evict, so that something "
          "leaves");
    }
  }

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int kv_head) const override {
    HeadPlan plan = PromptCut::plan(layer, kv_head);
    if (whole_prompt_) {
      plan.kept = layer.prompt;
      plan.budget += layer.prompt;
    }
    return plan;
  }
  [[nodiscard]] EvictRule evict_rule() const override {
    return {.update = kernels::Update::kRandom, .recent = 0, .seed = seed_};
  }
  void score(const PromptContext& context) const override {
    context.scoring.random(context.scores, seed_, context.layer.layer);
    if (whole_prompt_) {
      context.scoring.protect(context.scores, context.scores.keys, 0);
    }
  }

 private:
  std::uint64_t seed_;
  bool whole_prompt_;
};

}  // namespace

constinit const SelectionInfo kRandom{
    .name = "random",
    .summary = "a uniform sample of the entries",
    .paper = "",
    .example = "random_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Random>(params, feed);
    },
};

}  // namespace kvg::kvcompress
