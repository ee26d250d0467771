// CriticalKV (Feng et al., arXiv:2502.03805) on SnapKV's scores: one share of the budget by the
// scores, the rest by (score + 1e-4) x the L1 norm of the entry's value behind the output
// projection. Frees memory as SnapKV does. Cost: the output projection of every value of the
// prompt.

#include <array>

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/snap.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam,
                             kKeepParam,
                             kDecodeParam,
                             kWindowParam,
                             kKernelParam,
                             kGroupParam,
                             ParamInfo{.name = "first",
                                       .type = ParamInfo::Type::kReal,
                                       .default_value = "0.5",
                                       .max = 1,
                                       .help = "share of the budget that goes by scores alone"}};

class Criticalkv final : public SnapCut {
 public:
  Criticalkv(const Params& params, Feed feed)
      : SnapCut("criticalkv", params, feed), first_(params.real("first")) {}

  [[nodiscard]] Needs needs(Feed feed) const override {
    Needs needs = SnapCut::needs(feed);
    needs.spare_scores = true;
    needs.output = true;
    return needs;
  }
  void score(const PromptContext& context) const override {
    const kernels::PromptScores& to = context.scores;
    const kernels::PromptScores plain = context.in_spare();
    pool(context, to);
    pool(context, plain);
    keep_window(context, plain);
    context.scoring.output_norms({.to = to,
                                  .weight = context.output.weight,
                                  .dtype = context.output.dtype,
                                  .hidden = context.output.out});
    context.scoring.raise({.by = plain.out,
                           .in = to.out,
                           .rows = to.batch * to.shape.kv_heads,
                           .width = to.keys,
                           .count = static_cast<int>(first_ * context.count)});
    keep_window(context, to);
  }

 private:
  double first_;
};

}  // namespace

constinit const SelectionInfo kCriticalkv{
    .name = "criticalkv",
    .summary = "snapkv, weighed by what values do to the output",
    .paper = "arXiv:2502.03805",
    .example = "criticalkv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Criticalkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
