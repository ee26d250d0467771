// Ada-KV (Feng et al., arXiv:2407.11550) on SnapKV's scores: the kv_heads of a layer share one
// budget; each is sure of its best `safeguard` share of its own budget, the rest goes to the
// largest scores of the layer. A really ragged cache: every head has its own length in one
// allocation. Frees memory as SnapKV does. kvpress masks instead.

#include <array>

#include "kernels/core/error.h"
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
    ParamInfo{.name = "safeguard",
              .type = ParamInfo::Type::kReal,
              .default_value = "0.2",
              .max = 1,
              .help = "share of its own budget that each kv_head is sure of"}};

class Adakv final : public SnapCut {
 public:
  Adakv(const Params& params, Feed feed)
      : SnapCut("adakv", params, feed), safeguard_(params.real("safeguard")) {
    if (binds()) {
      throw InvalidArgument(
          "policy adakv: decode=evict has no meaning where kv_heads share a budget; allowed: "
          "append");
    }
  }

  [[nodiscard]] bool together() const override { return true; }
  void score(const PromptContext& context) const override {
    const kernels::PromptScores& to = context.scores;
    pool(context, to);
    context.scoring.raise({.by = to.out,
                           .in = to.out,
                           .rows = to.batch * to.shape.kv_heads,
                           .width = to.keys,
                           .count = static_cast<int>(safeguard_ * (context.count - window()))});
    keep_window(context, to);
  }

 private:
  double safeguard_;
};

}  // namespace

constinit const SelectionInfo kAdakv{
    .name = "adakv",
    .summary = "snapkv with one budget for all kv_heads of a layer",
    .paper = "arXiv:2407.11550",
    .example = "adakv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Adakv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
