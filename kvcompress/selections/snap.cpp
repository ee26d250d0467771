#include "kvcompress/selections/snap.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::kvcompress {

SnapCut::SnapCut(std::string_view owner, const Params& params, Feed feed)
    : PromptCut(owner,
                params,
                feed,
                params.integer("window") + 1,
                "window + 1, as the window is part of the budget"),
      window_(static_cast<int>(params.integer("window"))),
      kernel_(static_cast<int>(params.integer("kernel"))),
      reduce_(reduce_of(params)) {
  if (kernel_ % 2 == 0) {
    throw InvalidArgument("policy " + std::string(owner) + ": kernel=" + std::to_string(kernel_) +
                          " is even; allowed: odd numbers");
  }
}

Needs SnapCut::needs(Feed /*feed*/) const {
  return {.window = window_, .rows = true};
}

void SnapCut::pool(const PromptContext& context, const kernels::PromptScores& to) const {
  context.scoring.pool({.to = to,
                        .rows = context.rows,
                        .columns = std::max(to.keys - window_, 0),
                        .kernel = kernel_,
                        .reduce = reduce_});
}

void SnapCut::keep_window(const PromptContext& context, const kernels::PromptScores& to) const {
  context.scoring.protect(to, 0, std::min(window_, to.keys));
}

void SnapCut::score(const PromptContext& context) const {
  pool(context, context.scores);
  keep_window(context, context.scores);
}

}  // namespace kvg::kvcompress
