#pragma once

#include "kvcompress/selections/budget.h"

namespace kvg::kvcompress {

inline constexpr ParamInfo kWindowParam{
    .name = "window",
    .default_value = "32",
    .min = 1,
    .max = 1024,
    .help = "last entries of the prompt: they stay, their queries score"};

inline constexpr ParamInfo kKernelParam{.name = "kernel",
                                        .default_value = "5",
                                        .min = 1,
                                        .max = 63,
                                        .help = "width of the average pooling along the keys; odd"};

/// A cut by what the prompt's last queries attend to, pooled along the keys: SnapKV and what builds
/// on its scores. Reads budget=, keep=, decode=, window=, kernel= and group=.
class SnapCut : public PromptCut {
 public:
  SnapCut(std::string_view owner, const Params& params, Feed feed);

  [[nodiscard]] Needs needs(Feed feed) const override;
  void score(const PromptContext& context) const override;

 protected:
  [[nodiscard]] int window() const { return window_; }
  /// Pooled scores of the entries before the window, 0 in it.
  void pool(const PromptContext& context, const kernels::PromptScores& to) const;
  /// Protects the window in `to`.
  void keep_window(const PromptContext& context, const kernels::PromptScores& to) const;

 private:
  int window_;
  int kernel_;
  kernels::Reduce reduce_;
};

}  // namespace kvg::kvcompress
