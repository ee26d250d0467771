// SnapKV (Li et al., arXiv:2404.14469): once, after the prompt, per kv_head: the last `window`
// entries and those that their queries attend to most, average-pooled over neighbours. Frees memory
// after each layer's prompt; the prefill's peak falls by the layers already cut. Cost: `window`
// rows of attention.
//
// What differs from the paper's code: probabilities are averaged (not summed) over the window, and
// the query heads of a kv_head are reduced (group=) instead of storing every query head's cache.

#include <array>

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/snap.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    kBudgetParam, kKeepParam, kDecodeParam, kWindowParam, kKernelParam, kGroupParam};

class Snapkv final : public SnapCut {
 public:
  Snapkv(const Params& params, Feed feed) : SnapCut("snapkv", params, feed) {}
};

}  // namespace

constinit const SelectionInfo kSnapkv{
    .name = "snapkv",
    .summary = "what the last queries of the prompt attend to",
    .paper = "arXiv:2404.14469",
    .example = "snapkv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Snapkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
