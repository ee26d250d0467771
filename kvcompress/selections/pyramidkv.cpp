// PyramidKV (Cai et al., arXiv:2406.02069): SnapKV's scores with budgets that fall from the first
// layer to the last in an arithmetic sequence around the mean; beta sets how steep it is. Frees
// memory as SnapKV does.

#include <algorithm>
#include <array>

#include "kvcompress/selections/selections.h"
#include "kvcompress/selections/snap.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    kBudgetParam,
    kKeepParam,
    kDecodeParam,
    kWindowParam,
    kKernelParam,
    kGroupParam,
    ParamInfo{.name = "beta",
              .default_value = "20",
              .min = 2,
              .max = 1000,
              .help = "the last layer's share beside the window is 1 / beta"}};

class Pyramidkv final : public SnapCut {
 public:
  Pyramidkv(const Params& params, Feed feed)
      : SnapCut("pyramidkv", params, feed),
        beta_(static_cast<std::int32_t>(params.integer("beta"))) {}

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int kv_head) const override {
    HeadPlan plan = SnapCut::plan(layer, kv_head);
    // What fits the budget whole is not cut, and fills it in steps as every layer's does.
    if (plan.kept < layer.prompt) {
      plan.kept = of_layer(layer, plan.kept);
      plan.budget = binds() ? plan.kept : 0;
    }
    return plan;
  }

 private:
  [[nodiscard]] std::int32_t of_layer(const LayerShape& layer, std::int32_t mean) const {
    const std::int32_t beside = mean - window();
    const std::int32_t room = layer.prompt - window();
    if (layer.layers < 2 || beside <= 0) {
      return mean;
    }
    std::int32_t low = beside / beta_;
    std::int32_t high = 2 * beside - low;
    if (high >= room) {
      high = room;
      low = 2 * beside - high;
    }
    return high - layer.layer * ((high - low) / (layer.layers - 1)) + window();
  }

  std::int32_t beta_;
};

}  // namespace

constinit const SelectionInfo kPyramidkv{
    .name = "pyramidkv",
    .summary = "snapkv with more for the lower layers",
    .paper = "arXiv:2406.02069",
    .example = "pyramidkv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Pyramidkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
