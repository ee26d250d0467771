#include "kvcompress/selections/selections.h"

#include <array>

#include "kernels/core/error.h"

namespace kvg::kvcompress {

void Selection::score(const PromptContext& /*context*/) const {
  KVG_EXPECT(false, "a selection that cuts a prompt scores its entries");
}

bool Selection::evicts(const LayerShape& layer) const {
  return plan(layer, 0).budget > 0;
}

kernels::PromptScores PromptContext::in_spare() const {
  kernels::PromptScores other = scores;
  other.out = spare;
  return other;
}

std::span<const SelectionInfo> selections() {
  static const std::array kSelections{kBaseline,
                                      kWindow,
                                      kStreaming,
                                      kRandom,
                                      kH2o,
                                      kTova,
                                      kRkv,
                                      kSnapkv,
                                      kPyramidkv,
                                      kAdakv,
                                      kKnorm,
                                      kKeydiff,
                                      kLagkv,
                                      kExpected,
                                      kObserved,
                                      kChunkkv,
                                      kCriticalkv,
                                      kDuo,
                                      kQuest};
  return kSelections;
}

}  // namespace kvg::kvcompress
