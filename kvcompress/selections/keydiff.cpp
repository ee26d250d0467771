// KeyDiff (Park et al., arXiv:2504.15364): the keys least alike to the mean of all unit keys of the
// prompt. Frees memory after each layer's prompt. What differs: the paper cuts block by block
// during the prefill; here one cut follows it, as kvpress does without its block wrapper.

#include <array>

#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{kBudgetParam, kKeepParam, kDecodeParam};

class Keydiff final : public PromptCut {
 public:
  Keydiff(const Params& params, Feed feed) : PromptCut("keydiff", params, feed) {}
  void score(const PromptContext& context) const override {
    context.scoring.key_likeness(context.scores);
  }
};

}  // namespace

constinit const SelectionInfo kKeydiff{
    .name = "keydiff",
    .summary = "the keys least alike to the others",
    .paper = "arXiv:2504.15364",
    .example = "keydiff_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Keydiff>(params, feed);
    },
};

}  // namespace kvg::kvcompress
