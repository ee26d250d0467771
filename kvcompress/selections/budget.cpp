#include "kvcompress/selections/budget.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::kvcompress {

Budget::Budget(
    std::string_view owner, const Params& params, Feed feed, long least, std::string_view reason)
    : who_("policy " + std::string(owner)), least_(least), reason_(reason) {
  if (params.has("budget") == params.has("keep")) {
    throw InvalidArgument(who_ + " needs " + (feed == Feed::kPrompt ? "either " : "") +
                          "budget=, a whole number from 1 to " + std::to_string(kMaxBudget) +
                          (feed == Feed::kPrompt ? ", or keep=, a number above 0, at most 1" : ""));
  }
  if (params.has("keep")) {
    if (feed == Feed::kSteps) {
      throw InvalidArgument(who_ +
                            ": keep= is a share of the prompt, and here is none; give budget=");
    }
    share_ = params.real("keep");
    share_text_ = params.text("keep");
    return;
  }
  entries_ = params.integer("budget");
  if (entries_ < least) {
    throw InvalidArgument(who_ + ": budget=" + std::to_string(entries_) + " is below " + reason_ +
                          "; allowed: from " + std::to_string(least));
  }
}

void Budget::check_prompt(std::int32_t tokens) const {
  const std::int32_t kept = of_prompt(tokens);
  if (entries_ > 0 || kept == tokens || kept >= least_) {
    return;
  }
  throw InvalidArgument(who_ + ": keep=" + share_text_ + " of a prompt of " +
                        std::to_string(tokens) + " tokens is " + std::to_string(kept) + ", below " +
                        reason_ + "; allowed: shares of " + std::to_string(least_) +
                        " entries or more");
}

std::int32_t Budget::of_prompt(std::int32_t tokens) const {
  if (entries_ > 0) {
    return static_cast<std::int32_t>(std::min<std::int64_t>(entries_, tokens));
  }
  // 0.29 of 100 is 29, though 0.29 is a little less than that as a double.
  constexpr double kRounding = 1e-6;
  return tokens == 0 ? 0 : std::max(static_cast<std::int32_t>(share_ * tokens + kRounding), 1);
}

std::int64_t Budget::of_steps(std::int32_t prompt) const {
  return entries_ > 0 ? entries_ : of_prompt(prompt);
}

std::string Budget::requested() const {
  return entries_ > 0 ? std::to_string(entries_) : "keep=" + share_text_;
}

kernels::Reduce reduce_of(const Params& params) {
  const std::string& group = params.text("group");
  if (group == "max") {
    return kernels::Reduce::kMax;
  }
  return group == "sum" ? kernels::Reduce::kSum : kernels::Reduce::kMean;
}

bool evicts_in_steps(std::string_view owner, const Params& params, Feed feed) {
  const bool evicts = params.text("decode") == "evict";
  if (!evicts && feed == Feed::kSteps) {
    throw InvalidArgument("policy " + std::string(owner) +
                          ": decode=append means nothing without a prompt; allowed here: evict");
  }
  return evicts;
}

PromptCut::PromptCut(
    std::string_view owner, const Params& params, Feed feed, long least, std::string_view reason)
    : budget_(owner, params, feed, least, reason), binds_(evicts_in_steps(owner, params, feed)) {}

HeadPlan PromptCut::plan(const LayerShape& layer, int /*kv_head*/) const {
  return {.kept = budget_.of_prompt(layer.prompt),
          .budget = binds_ ? budget_.of_steps(layer.prompt) : 0,
          .sinks = 0};
}

}  // namespace kvg::kvcompress
