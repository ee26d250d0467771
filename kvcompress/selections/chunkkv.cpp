// ChunkKV (Liu et al., arXiv:2502.00299): SnapKV's scores averaged over chunks of neighbouring
// tokens, so that whole chunks stay or leave; the budget may cut the last chunk. Frees memory as
// SnapKV does.

#include <algorithm>
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
                             ParamInfo{.name = "chunk",
                                       .default_value = "20",
                                       .min = 1,
                                       .max = 4096,
                                       .help = "tokens of a chunk"}};

class Chunkkv final : public SnapCut {
 public:
  Chunkkv(const Params& params, Feed feed)
      : SnapCut("chunkkv", params, feed), chunk_(static_cast<int>(params.integer("chunk"))) {}

  void score(const PromptContext& context) const override {
    pool(context, context.scores);
    context.scoring.chunk_means(
        context.scores, chunk_, std::max(context.scores.keys - window(), 0));
    keep_window(context, context.scores);
  }

 private:
  int chunk_;
};

}  // namespace

constinit const SelectionInfo kChunkkv{
    .name = "chunkkv",
    .summary = "snapkv by whole chunks",
    .paper = "arXiv:2502.00299",
    .example = "chunkkv_256",
    .with_steps = false,
    .params = kParams,
    .make = [](Params& params, Feed feed) -> std::unique_ptr<const Selection> {
      return std::make_unique<Chunkkv>(params, feed);
    },
};

}  // namespace kvg::kvcompress
