#include "kvcompress/policy.h"

#include <gtest/gtest.h>
#include <numeric>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg::kvcompress {
namespace {

using testing_support::expect_invalid;

TEST(ParsePolicy, KeepsTheTextAndPrintsEveryParameter) {
  const Policy policy = parse_policy("streaming:sinks=2,budget=256");
  EXPECT_EQ(policy.method, "streaming:sinks=2,budget=256");
  EXPECT_EQ(policy.canonical, "streaming:budget=256,sinks=2,positions=cache");
}

TEST(ParsePolicy, ExpandsTheAlias) {
  const Policy policy = parse_policy("streaming_256");
  EXPECT_EQ(policy.method, "streaming_256");
  EXPECT_EQ(policy.canonical, "streaming:budget=256,sinks=4,positions=cache");
  EXPECT_EQ(parse_policy("window_64").canonical, "window:budget=64,positions=cache");
}

TEST(ParsePolicy, RefusesUnknownNamesListingTheKnown) {
  for (const char* text : {"nope", "streaming_", "streaming_x", "baseline_4", "STREAMING_4", ""}) {
    EXPECT_THROW((void)parse_policy(text), InvalidArgument) << text;
  }
  expect_invalid([] { (void)parse_policy("nope:budget=4"); },
                 "no policy named \"nope\"; known: baseline, window, streaming");
}

TEST(ParsePolicy, RefusesABudgetBelowTheSinks) {
  expect_invalid([] { (void)parse_policy("streaming:budget=3"); },
                 "budget=3 is below sinks=4; sinks is at most the budget");
  EXPECT_EQ(parse_policy("streaming:budget=4").selection->budget(), 4);
}

TEST(ParsePolicy, RefusesABudgetOfZero) {
  expect_invalid([] { (void)parse_policy("window:budget=0"); },
                 "budget is a whole number from 1 to 16777216");
}

TEST(Streaming, TurnsTheQueryTwiceOnlyWithCachePositions) {
  EXPECT_TRUE(parse_policy("streaming:budget=8").selection->slot_rule().cache_positions);
  EXPECT_FALSE(
      parse_policy("streaming:budget=8,positions=original").selection->slot_rule().cache_positions);
}

TEST(Streaming, KeepsSinksAndTheNewestOfAPrompt) {
  const Policy policy = parse_policy("streaming:budget=5,sinks=2");
  EXPECT_EQ(policy.selection->keep_of_prompt(9), (std::vector<std::int32_t>{0, 1, 6, 7, 8}));
  EXPECT_EQ(policy.selection->keep_of_prompt(4), (std::vector<std::int32_t>{0, 1, 2, 3}));
}

std::string small_spec(const SelectionInfo& info) {
  for (const ParamInfo& param : info.params) {
    if (param.name == "budget") {
      return std::string(info.name) + ":budget=6";
    }
  }
  return std::string(info.name);
}

class EverySelection : public testing::TestWithParam<SelectionInfo> {};

TEST_P(EverySelection, CanonicalSpecParsesBackToItself) {
  const Policy policy = parse_policy(small_spec(GetParam()));
  EXPECT_EQ(parse_policy(policy.canonical).canonical, policy.canonical);
}

TEST_P(EverySelection, KeepsTheBudgetOfAPrompt) {
  const Policy policy = parse_policy(small_spec(GetParam()));
  const auto budget = static_cast<std::int32_t>(policy.selection->budget());
  for (const std::int32_t tokens : {1, 5, 6, 7, 100}) {
    const auto kept = policy.selection->keep_of_prompt(tokens);
    const std::int32_t expected = budget == 0 ? tokens : std::min(tokens, budget);
    ASSERT_EQ(static_cast<std::int32_t>(kept.size()), expected);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      EXPECT_TRUE(kept[i] >= 0 && kept[i] < tokens);
      EXPECT_TRUE(i == 0 || kept[i - 1] < kept[i]) << "ascending, each once";
    }
  }
}

TEST_P(EverySelection, SaysWhatItIs) {
  EXPECT_FALSE(GetParam().summary.empty());
  for (const ParamInfo& param : GetParam().params) {
    EXPECT_FALSE(param.help.empty()) << param.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Table,
                         EverySelection,
                         testing::ValuesIn(selections().begin(), selections().end()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace kvg::kvcompress
