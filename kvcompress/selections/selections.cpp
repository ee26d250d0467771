#include "kvcompress/selections/selections.h"

#include <array>

#include "kernels/core/error.h"

namespace kvg::kvcompress {

void Selection::score(const PromptContext& /*context*/) const {
  KVG_EXPECT(false, "a selection that cuts a prompt scores its entries");
}

bool Selection::evicts(const LayerShape& layer) const {
  for (int head = 0; head < layer.kv_heads; ++head) {
    if (plan(layer, head).budget > 0) {
      return true;
    }
  }
  return false;
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
