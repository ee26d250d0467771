// ExpectedAttention (Devoto et al., arXiv:2510.00636): the attention that the next `future` queries
// are expected to pay, from the mean and the covariance of the prompt's queries, times the norm of
// the value; sinks stay. Frees memory after each layer's prompt. Cost: queries' second moments, O(n
// head_dim^2).

#include <array>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    kBudgetParam,
    kKeepParam,
    kDecodeParam,
    ParamInfo{.name = "sinks",
              .default_value = "4",
              .min = 0,
              .max = 4096,
              .help = "first entries, which stay and are not scored"},
    ParamInfo{.name = "future",
              .default_value = "512",
              .min = 1,
              .max = 65536,
              .help = "positions after the prompt that are averaged over"}};

class Expected final : public PromptCut {
 public:
  Expected(const Params& params, Feed feed)
      : PromptCut("expected", params, feed, params.integer("sinks") + 1, "sinks + 1"),
        sinks_(static_cast<int>(params.integer("sinks"))),
        future_(static_cast<int>(params.integer("future"))) {}

  [[nodiscard]] Needs needs(Feed /*feed*/) const override {
    return {.moments = true, .skip = sinks_, .future = future_};
  }
  void score(const PromptContext& context) const override {
    if (context.scores.keys <= sinks_) {
      context.scoring.protect(context.scores, context.scores.keys, 0);
      return;
    }
    context.scoring.expected({.to = context.scores,
                              .sums = context.sums,
                              .products = context.products,
                              .turn = context.turn,
                              .future = future_,
                              .skip = sinks_});
  }

 private:
  int sinks_;
  int future_;
};

}  // namespace

constinit const SelectionInfo kExpected{
    .name = "expected",
    .summary = "the attention expected of queries to come",
    .paper = "arXiv:2510.00636",
    .example = "expected_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Expected>(params, feed);
    },
};

}  // namespace kvg::kvcompress
