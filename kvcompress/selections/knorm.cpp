// The keys of smallest norm (Devoto et al., arXiv:2406.11430): s = -|k|. Frees memory after each
// layer's prompt. Neither attention nor queries are looked at. No entry is protected; the paper
// leaves the first two layers whole, here every layer is cut.

#include <array>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kKeepParam, kDecodeParam};

class Knorm final : public PromptCut {
 public:
  Knorm(const Params& params, Feed feed) : PromptCut("knorm", params, feed) {}
  void score(const PromptContext& context) const override {
    context.scoring.key_norms(context.scores);
  }
};

}  // namespace

constinit const SelectionInfo kKnorm{
    .name = "knorm",
    .summary = "the keys of smallest norm",
    .paper = "arXiv:2406.11430",
    .example = "knorm_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Knorm>(params, feed);
    },
};

}  // namespace kvg::kvcompress
