#pragma once

#include "kvcompress/selections/budget.h"

namespace kvg::kvcompress {

/// No default of its own: SinkWindow settles it.
inline constexpr ParamInfo kPositionsParam{
    .name = "positions",
    .type = ParamInfo::Type::kChoice,
    .optional = true,
    .choices = "cache|original",
    .help =
        "cache: entry i of the kept cache has position i; original: its place in the text; "
        "default: cache, but original with decode=append"};

/// Keeps the first `sinks` entries and the newest of the rest.
class SinkWindow final : public Selection {
 public:
  /// Completes `params` by what positions= is when it was not given.
  SinkWindow(std::string_view owner, Params& params, Feed feed, long sinks);

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int kv_head) const override;
  void check_prompt(std::int32_t tokens) const override { budget_.check_prompt(tokens); }
  [[nodiscard]] bool cache_positions() const override { return cache_positions_; }
  [[nodiscard]] std::optional<kernels::Visibility> visible() const override;
  [[nodiscard]] std::string requested() const override { return budget_.requested(); }
  void score(const PromptContext& context) const override;

 private:
  Budget budget_;
  bool binds_;
  std::int32_t sinks_;
  bool cache_positions_;
};

}  // namespace kvg::kvcompress
