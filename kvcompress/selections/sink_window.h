#pragma once

#include "kvcompress/selection.h"

namespace kvg::kvcompress {

inline constexpr long kMaxBudget = 1L << 24;

inline constexpr ParamInfo kBudgetParam{
    .name = "budget", .min = 1, .max = kMaxBudget, .help = "entries kept per kv_head after a step"};

inline constexpr ParamInfo kPositionsParam{
    .name = "positions",
    .type = ParamInfo::Type::kChoice,
    .default_value = "cache",
    .choices = "cache|original",
    .help = "cache: entry i of the kept cache has position i; original: its place in the text"};

/// Keeps the first `sinks` entries and the newest `budget - sinks`.
class SinkWindow final : public Selection {
 public:
  /// `budget` and `positions` are read from `params`.
  SinkWindow(const Params& params, long sinks);

  [[nodiscard]] std::int64_t budget() const override { return budget_; }
  [[nodiscard]] kernels::SlotRule slot_rule() const override;
  [[nodiscard]] std::vector<std::int32_t> keep_of_prompt(std::int32_t tokens) const override;

 private:
  std::int32_t budget_;
  std::int32_t sinks_;
  bool cache_positions_;
};

}  // namespace kvg::kvcompress
