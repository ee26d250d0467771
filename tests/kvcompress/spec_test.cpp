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
    ParamInfo{.name = "mode",
              .type = ParamInfo::Type::kChoice,
              .default_value = "a",
              .prompt_default = "bc",
              .choices = "a|bc"},
    ParamInfo{.name = "share", .type = ParamInfo::Type::kReal, .optional = true, .max = 1},
    ParamInfo{.name = "file", .type = ParamInfo::Type::kText, .optional = true}};

Params demo(const Params::Given& given, Feed feed = Feed::kSteps) {
  return {"policy demo", kInfos, given, feed};
}

TEST(SplitSpec, ReadsNameAndPairs) {
  const SpecText spec = split_spec("streaming:budget=256,sinks=4");
  EXPECT_EQ(spec.selection.name, "streaming");
  EXPECT_EQ(spec.selection.params, (Params::Given{{"budget", "256"}, {"sinks", "4"}}));
  EXPECT_FALSE(spec.codec);
}

TEST(SplitSpec, TakesABareName) {
  const SpecText spec = split_spec("baseline");
  EXPECT_EQ(spec.selection.name, "baseline");
  EXPECT_TRUE(spec.selection.params.empty());
}

TEST(SplitSpec, ReadsTheCodecBehindThePlus) {
  const SpecText spec = split_spec("window:budget=8+int4:group=32");
  EXPECT_EQ(spec.selection.name, "window");
  EXPECT_EQ(spec.selection.params, (Params::Given{{"budget", "8"}}));
  ASSERT_TRUE(spec.codec);
  EXPECT_EQ(spec.codec->name, "int4");
  EXPECT_EQ(spec.codec->params, (Params::Given{{"group", "32"}}));
}

TEST(SplitSpec, ReadsACodecOfTwoSides) {
  const SpecText spec = split_spec("baseline+k=int8,v=int4,k.group=64");
  ASSERT_TRUE(spec.codec);
  EXPECT_EQ(spec.codec->name, "");
  EXPECT_EQ(spec.codec->params, (Params::Given{{"k", "int8"}, {"k.group", "64"}, {"v", "int4"}}));
}

TEST(SplitSpec, RefusesMalformedText) {
  for (const char* text : {"",
                           ":budget=4",
                           "window:",
                           "window:budget",
                           "window:=4",
                           "window:budget=",
                           "window:budget=4,",
                           "window:budget=4,,sinks=1",
                           "+int4",
                           "baseline+",
                           "baseline+int4:",
                           "baseline+k=",
                           "baseline+k=int8,"}) {
    expect_invalid([&] { (void)split_spec(text); },
                   "a spec is SELECTION or SELECTION:key=value,key=value, and may end in +CODEC, "
                   "+CODEC:key=value or +k=CODEC,v=CODEC");
  }
  expect_invalid([] { (void)split_spec("baseline+"); },
                 "policy spec \"baseline+\": it has no name");
  expect_invalid([] { (void)split_spec("window:budget"); }, "\"budget\" is not key=value");
}

TEST(SplitSpec, RefusesWhatCannotBePrinted) {
  for (const char* text : {"win\ndow", "win\x1b[1m", "win\x7f", "win\xff", "win\xc3"}) {
    expect_invalid([text] { static_cast<void>(split_spec(text)); },
                   "policy spec: byte 3 is no printable character of UTF-8");
  }
}

TEST(SplitSpec, RefusesAKeyGivenTwice) {
  expect_invalid([] { (void)split_spec("window:budget=4,budget=5"); }, "budget is given twice");
  expect_invalid([] { (void)split_spec("baseline+k=int8,k=int4"); }, "k is given twice");
}

TEST(SplitSpec, RefusesACommaListWithParameters) {
  expect_invalid([] { (void)split_spec("baseline,window:budget=4"); },
                 "a comma list takes bare names alone");
}

TEST(SplitPolicyList, SplitsBareNamesAlone) {
  EXPECT_EQ(split_policy_list("baseline,streaming_256"),
            (std::vector<std::string>{"baseline", "streaming_256"}));
  EXPECT_EQ(split_policy_list("window_8+int4,int8"),
            (std::vector<std::string>{"window_8+int4", "int8"}));
  EXPECT_EQ(split_policy_list("streaming:budget=8,sinks=2"),
            (std::vector<std::string>{"streaming:budget=8,sinks=2"}));
  EXPECT_EQ(split_policy_list("baseline+k=int8,v=int4"),
            (std::vector<std::string>{"baseline+k=int8,v=int4"}));
  EXPECT_EQ(split_policy_list("baseline,"), (std::vector<std::string>{"baseline", ""}));
}

TEST(Params, FillsDefaultsAndPrintsAllInOrder) {
  const Params params = demo({{"budget", "7"}});
  EXPECT_EQ(params.integer("budget"), 7);
  EXPECT_EQ(params.text("mode"), "a");
  EXPECT_EQ(params.canonical(), "budget=7,mode=a");
  EXPECT_EQ(params.canonical("k."), "k.budget=7,k.mode=a");
}

TEST(Params, HasAnotherDefaultWithAPrompt) {
  EXPECT_EQ(demo({{"budget", "7"}}, Feed::kPrompt).text("mode"), "bc");
  EXPECT_EQ(demo({{"budget", "7"}, {"mode", "a"}}, Feed::kPrompt).text("mode"), "a");
}

TEST(Params, LeavesOutOptionalOnes) {
  Params params = demo({{"budget", "7"}});
  EXPECT_FALSE(params.has("share"));
  EXPECT_TRUE(params.has("budget"));
  params.complete("file", "x");
  EXPECT_EQ(params.text("file"), "x");
  EXPECT_EQ(params.canonical(), "budget=7,mode=a,file=x");
}

TEST(Params, PrintsNumbersInOneForm) {
  EXPECT_EQ(demo({{"budget", "007"}}).canonical(), "budget=7,mode=a");
  for (const char* share : {"0.25", "0.250", ".25", "2.5e-1"}) {
    const Params params = demo({{"budget", "7"}, {"share", share}});
    EXPECT_EQ(params.real("share"), 0.25);
    EXPECT_EQ(params.canonical(), "budget=7,mode=a,share=0.25");
  }
}

TEST(Params, RefusesUnknownKeysNamingTheKnown) {
  expect_invalid(
      [] {
        (void)demo({{"budget", "7"}, {"sinks", "1"}});
      },
      "policy demo has no parameter \"sinks\"; it takes: budget, mode, share, file");
  expect_invalid(
      [] {
        (void)Params("codec q8", {}, {{"group", "1"}}, Feed::kSteps);
      },
      "codec q8 has no parameter \"group\"; it takes: none");
}

TEST(Params, RefusesAMissingValue) {
  expect_invalid([] { (void)demo({}); }, "policy demo needs budget=, a whole number from 1 to 64");
}

TEST(Params, RefusesValuesOutOfRange) {
  for (const char* value : {"0", "65", "-1", "1.5", "four", "4x", "99999999999999999999", " 4"}) {
    expect_invalid(
        [&] {
          (void)demo({{"budget", value}});
        },
        "budget is a whole number from 1 to 64");
  }
  for (const char* value : {"b", "A", "a|bc", "bcd"}) {
    expect_invalid([&] { (void)demo({{"budget", "1"}, {"mode", value}}); }, "mode is a|bc");
  }
  for (const char* value : {"0", "-0.5", "1.01", "nan", "inf", "1e999", "half", "0.5x", "0,5"}) {
    expect_invalid(
        [&] {
          (void)demo({{"budget", "1"}, {"share", value}});
        },
        "share is a number above 0, at most 1");
  }
}

}  // namespace
}  // namespace kvg::kvcompress
