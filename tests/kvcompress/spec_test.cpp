#include "kvcompress/spec.h"

#include <array>
#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg::kvcompress {
namespace {

using testing_support::expect_invalid;

constexpr std::array kInfos{
    ParamInfo{.name = "budget", .min = 1, .max = 64, .help = "entries"},
    ParamInfo{
        .name = "mode", .type = ParamInfo::Type::kChoice, .default_value = "a", .choices = "a|bc"}};

TEST(SplitSpec, ReadsNameAndPairs) {
  const SpecPart part = split_spec("streaming:budget=256,sinks=4");
  EXPECT_EQ(part.name, "streaming");
  ASSERT_EQ(part.params.size(), 2U);
  EXPECT_EQ(part.params.at("budget"), "256");
  EXPECT_EQ(part.params.at("sinks"), "4");
}

TEST(SplitSpec, TakesABareName) {
  EXPECT_TRUE(split_spec("baseline").params.empty());
}

TEST(SplitSpec, RefusesMalformedText) {
  for (const char* text : {"",
                           ":budget=4",
                           "window:",
                           "window:budget",
                           "window:=4",
                           "window:budget=",
                           "window:budget=4,",
                           "window:budget=4,,sinks=1"}) {
    expect_invalid([&] { (void)split_spec(text); }, "a spec is name or name:key=value,key=value");
  }
}

TEST(SplitSpec, RefusesAKeyGivenTwice) {
  expect_invalid([] { (void)split_spec("window:budget=4,budget=5"); }, "budget is given twice");
}

TEST(SplitSpec, RefusesACommaListWithParameters) {
  expect_invalid([] { (void)split_spec("baseline,window:budget=4"); },
                 "a comma list takes bare names alone");
}

TEST(SplitPolicyList, SplitsBareNamesAlone) {
  EXPECT_EQ(split_policy_list("baseline,streaming_256"),
            (std::vector<std::string>{"baseline", "streaming_256"}));
  EXPECT_EQ(split_policy_list("streaming:budget=8,sinks=2"),
            (std::vector<std::string>{"streaming:budget=8,sinks=2"}));
  EXPECT_EQ(split_policy_list("baseline,"), (std::vector<std::string>{"baseline", ""}));
}

TEST(Params, FillsDefaultsAndPrintsAllInOrder) {
  const Params params("demo", kInfos, {{"budget", "7"}});
  EXPECT_EQ(params.integer("budget"), 7);
  EXPECT_EQ(params.choice("mode"), "a");
  EXPECT_EQ(params.canonical(), "budget=7,mode=a");
}

TEST(Params, PrintsNumbersInOneForm) {
  EXPECT_EQ(Params("demo", kInfos, {{"budget", "007"}}).canonical(), "budget=7,mode=a");
}

TEST(Params, RefusesUnknownKeysNamingTheKnown) {
  expect_invalid(
      [] {
        (void)Params("demo", kInfos, {{"budget", "7"}, {"sinks", "1"}});
      },
      "policy demo has no parameter \"sinks\"; it takes: budget, mode");
}

TEST(Params, RefusesAMissingValue) {
  expect_invalid([] { (void)Params("demo", kInfos, {}); },
                 "policy demo needs budget=, a whole number from 1 to 64");
}

TEST(Params, RefusesValuesOutOfRange) {
  for (const char* value : {"0", "65", "-1", "1.5", "four", "4x", "99999999999999999999", " 4"}) {
    expect_invalid(
        [&] {
          (void)Params("demo", kInfos, {{"budget", value}});
        },
        "budget is a whole number from 1 to 64");
  }
  for (const char* value : {"b", "A", "a|bc", "bcd"}) {
    expect_invalid(
        [&] {
          (void)Params("demo", kInfos, {{"budget", "1"}, {"mode", value}});
        },
        "mode is a|bc");
  }
}

}  // namespace
}  // namespace kvg::kvcompress
