#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "kvcompress/selection.h"

namespace kvg::kvcompress {

inline constexpr long kMaxBudget = 1L << 24;

inline constexpr ParamInfo kBudgetParam{.name = "budget",
                                        .optional = true,
                                        .min = 1,
                                        .max = kMaxBudget,
                                        .help = "entries kept per kv_head after a step"};

inline constexpr ParamInfo kKeepParam{.name = "keep",
                                      .type = ParamInfo::Type::kReal,
                                      .optional = true,
                                      .max = 1,
                                      .help = "kept share of the prompt, in place of budget"};

inline constexpr ParamInfo kDecodeParam{
    .name = "decode",
    .type = ParamInfo::Type::kChoice,
    .default_value = "evict",
    .prompt_default = "append",
    .choices = "append|evict",
    .help =
        "after the prompt's cut: entries are appended without end, or the budget binds each step"};

inline constexpr ParamInfo kGroupParam{.name = "group",
                                       .type = ParamInfo::Type::kChoice,
                                       .default_value = "mean",
                                       .choices = "mean|max|sum",
                                       .help = "how the query heads of a kv_head become one score"};

/// How much is kept: `budget` entries, or the share `keep` of a prompt.
class Budget {
 public:
  /// Reads budget= and keep=, of which exactly one is given, keep= only with a prompt. Throws
  /// InvalidArgument, naming `owner`, also for a budget below `least`, which `reason` explains.
  Budget(std::string_view owner,
         const Params& params,
         Feed feed,
         long least = 1,
         std::string_view reason = "");

  /// Throws InvalidArgument when keep= leaves less than `least` of a prompt of so many tokens.
  void check_prompt(std::int32_t tokens) const;
  /// Entries kept of a prompt of so many tokens.
  [[nodiscard]] std::int32_t of_prompt(std::int32_t tokens) const;
  /// Entries after every step when the budget binds there too.
  [[nodiscard]] std::int64_t of_steps(std::int32_t prompt) const;
  [[nodiscard]] std::string requested() const;

 private:
  std::string who_;
  std::int64_t entries_ = 0;
  std::int64_t least_ = 1;
  std::string reason_;
  double share_ = 0.0;
  std::string share_text_;
};

/// mean, max or sum.
[[nodiscard]] kernels::Reduce reduce_of(const Params& params);

/// True when the budget binds in every step. Throws InvalidArgument for decode=append without a
/// prompt.
[[nodiscard]] bool evicts_in_steps(std::string_view owner, const Params& params, Feed feed);

/// A selection that cuts a prompt to a budget by scores. Afterwards entries are appended, or the
/// budget binds and those of the prompt leave in the order of their scores, lowest first, newer
/// entries oldest first once none is left.
class PromptCut : public Selection {
 public:
  PromptCut(std::string_view owner,
            const Params& params,
            Feed feed,
            long least = 1,
            std::string_view reason = "");

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int kv_head) const override;
  void check_prompt(std::int32_t tokens) const override { budget_.check_prompt(tokens); }
  [[nodiscard]] Leaving leaving() const override { return Leaving::kScores; }
  [[nodiscard]] std::string requested() const override { return budget_.requested(); }

 protected:
  [[nodiscard]] bool binds() const { return binds_; }

 private:
  Budget budget_;
  bool binds_;
};

}  // namespace kvg::kvcompress
