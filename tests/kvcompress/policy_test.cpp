#include "kvcompress/policy.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg::kvcompress {
namespace {

using testing_support::expect_invalid;

std::string canonical(std::string_view text, Feed feed = Feed::kSteps) {
  return parse_policy(text, feed).canonical;
}

void expect_refused(std::string_view text, Feed feed, std::string_view message) {
  expect_invalid([&] { (void)parse_policy(text, feed); }, message);
}

HeadPlan plan_of(std::string_view text, Feed feed, std::int32_t prompt) {
  return parse_policy(text, feed)
      .selection->plan({.layer = 0, .layers = 2, .kv_heads = 2, .prompt = prompt}, 0);
}

TEST(ParsePolicy, KeepsTheTextAndPrintsEveryParameter) {
  const Policy policy = parse_policy("streaming:sinks=2,budget=256");
  EXPECT_EQ(policy.method, "streaming:sinks=2,budget=256");
  EXPECT_EQ(policy.canonical, "streaming:budget=256,sinks=2,decode=evict,positions=cache");
}

TEST(ParsePolicy, ExpandsTheAlias) {
  const Policy policy = parse_policy("streaming_256");
  EXPECT_EQ(policy.method, "streaming_256");
  EXPECT_EQ(policy.canonical, "streaming:budget=256,sinks=4,decode=evict,positions=cache");
  EXPECT_EQ(canonical("window_64+int4"),
            "window:budget=64,decode=evict,positions=cache+int4:group=32,mode=asymmetric");
  EXPECT_EQ(canonical("quest_64"), "quest:budget=64,page=16,dense=2");
  EXPECT_EQ(canonical("window_64:positions=original"),
            "window:budget=64,decode=evict,positions=original");
}

TEST(ParsePolicy, ReadsACodecAloneAsBaselineWithIt) {
  EXPECT_EQ(canonical("int4:group=64"), "baseline+int4:group=64,mode=asymmetric");
  EXPECT_EQ(canonical("q8_0"), "baseline+q8_0");
  EXPECT_EQ(canonical("kivi2"), "baseline+kivi2:group=32,residual=128");
  EXPECT_EQ(canonical("baseline"), "baseline");
}

TEST(ParsePolicy, ReadsACodecForEachSide) {
  const Policy policy = parse_policy("baseline+v=int4,k=int8,k.group=64");
  EXPECT_EQ(policy.canonical,
            "baseline+k=int8,k.group=64,k.mode=symmetric,v=int4,v.group=32,v.mode=asymmetric");
  EXPECT_EQ(policy.codec.keys.form.bits, 8);
  EXPECT_EQ(policy.codec.values.form.bits, 4);
}

TEST(ParsePolicy, RefusesUnknownNamesListingTheKnown) {
  for (const char* text : {"nope", "streaming_", "streaming_x", "baseline_4", "STREAMING_4", ""}) {
    EXPECT_THROW((void)parse_policy(text), InvalidArgument) << text;
  }
  expect_refused("nope:budget=4",
                 Feed::kSteps,
                 "no policy named \"nope\"; known: baseline, window, streaming, random, h2o, tova, "
                 "rkv, snapkv");
  expect_refused("nope", Feed::kSteps, "; codecs: f32, f16, bf16, fp8, int8");
  expect_refused("nope", Feed::kSteps, "and NAME_N for NAME:budget=N");
  expect_refused("window_8+nope", Feed::kSteps, "no codec named \"nope\"; known: f32, f16, bf16");
}

TEST(ParsePolicy, RefusesBudgets) {
  expect_refused("streaming:budget=3",
                 Feed::kSteps,
                 "policy streaming: budget=3 is below sinks=4; allowed: from 4");
  EXPECT_EQ(parse_policy("streaming:budget=4").selection->requested(), "4");
  expect_refused("window:budget=0", Feed::kSteps, "budget is a whole number from 1 to 16777216");
  expect_refused("h2o_0", Feed::kPrompt, "budget is a whole number from 1 to 16777216");
  expect_refused(
      "window", Feed::kSteps, "policy window needs budget=, a whole number from 1 to 16777216");
  expect_refused("snapkv", Feed::kPrompt, ", or keep=, a number above 0, at most 1");
  expect_refused("h2o:budget=8,keep=0.5", Feed::kPrompt, "needs either budget=");
  expect_refused("snapkv:budget=32",
                 Feed::kPrompt,
                 "budget=32 is below window + 1, as the window is part of the budget; allowed: "
                 "from 33");
  expect_refused("lagkv:budget=4", Feed::kPrompt, "budget=4 is below sinks + 1; allowed: from 5");
  expect_refused("expected:budget=4", Feed::kPrompt, "is below sinks + 1; allowed: from 5");
  expect_refused("rkv:budget=8", Feed::kSteps, "is below window + 1; allowed: from 9");
  expect_refused("quest:budget=8", Feed::kSteps, "budget=8 is below page=16; allowed: from 16");
  expect_refused("h2o:budget=8,recent=9",
                 Feed::kSteps,
                 "policy h2o: budget=8 is below recent=9; allowed: from 9");
}

TEST(ParsePolicy, SharesOfAPromptHoldWhatMustStay) {
  const auto check = [](const char* text, std::int32_t prompt) {
    parse_policy(text, Feed::kPrompt).selection->check_prompt(prompt);
  };
  testing_support::expect_throw<InvalidArgument>(
      [&] { check("streaming:keep=0.03", 100); },
      "policy streaming: keep=0.03 of a prompt of 100 tokens is 3, below sinks=4; allowed: shares "
      "of 4 entries or more");
  testing_support::expect_throw<InvalidArgument>([&] { check("snapkv:keep=0.32", 100); },
                                                 "is 32, below window + 1");
  testing_support::expect_throw<InvalidArgument>([&] { check("rkv:keep=0.08", 100); },
                                                 "is 8, below window + 1");
  testing_support::expect_throw<InvalidArgument>([&] { check("h2o:keep=0.1,recent=11", 100); },
                                                 "is 10, below recent=11");
  testing_support::expect_throw<InvalidArgument>([&] { check("expected:keep=0.04", 100); },
                                                 "is 4, below sinks + 1");
  for (const char* text : {"streaming:keep=0.04",
                           "snapkv:keep=0.33",
                           "rkv:keep=0.09",
                           "h2o:keep=0.11,recent=11",
                           "h2o:keep=0.001",
                           "knorm:keep=0.001",
                           "snapkv:budget=33"}) {
    EXPECT_NO_THROW(check(text, 100)) << text;
  }
  EXPECT_NO_THROW(check("snapkv:keep=1", 20)) << "nothing leaves";
}

TEST(ParsePolicy, RefusesAKeptShare) {
  for (const char* share : {"1.01", "0", "-1", "nan"}) {
    expect_refused(
        std::string("window:keep=") + share, Feed::kPrompt, "keep is a number above 0, at most 1");
  }
  expect_refused("window:keep=0.5",
                 Feed::kSteps,
                 "policy window: keep= is a share of the prompt, and here is none; give budget=");
}

TEST(ParsePolicy, RefusesWhatNeedsAPromptWhereThereIsNone) {
  for (const char* text : {"snapkv_64",
                           "pyramidkv_64",
                           "adakv_64",
                           "knorm_64",
                           "keydiff_64",
                           "lagkv_64",
                           "expected_64",
                           "observed_64",
                           "chunkkv_64",
                           "criticalkv_64"}) {
    expect_refused(text,
                   Feed::kSteps,
                   " cuts after a prompt, and here is none; allowed in the protocols that have "
                   "one: split, speed, task");
    EXPECT_NO_THROW((void)parse_policy(text, Feed::kPrompt)) << text;
  }
  expect_refused("think", Feed::kSteps, "policy baseline+think:");
  expect_refused("think", Feed::kSteps, "its channels are chosen from a prompt, and here is none");
  expect_refused("window:budget=8,decode=append",
                 Feed::kSteps,
                 "decode=append means nothing without a prompt; allowed here: evict");
}

TEST(ParsePolicy, RefusesEvenKernelsAndContradictions) {
  expect_refused("snapkv:budget=64,kernel=4", Feed::kPrompt, "kernel=4 is even; allowed: odd");
  expect_refused("rkv:budget=64,kernel=4", Feed::kSteps, "kernel=4 is even; allowed: odd numbers");
  expect_refused("adakv:budget=64,decode=evict",
                 Feed::kPrompt,
                 "decode=evict has no meaning where kv_heads share a budget; allowed: append");
  expect_refused("random:budget=8,protect=prompt",
                 Feed::kPrompt,
                 "protect=prompt needs a prompt and decode=evict, so that something leaves");
  expect_refused("random:budget=8,protect=prompt", Feed::kSteps, "protect=prompt needs a prompt");
  expect_refused("h2o:budget=8,positions=cache", Feed::kSteps, "has no parameter \"positions\"");
  expect_refused("duo", Feed::kSteps, "policy duo needs matrix=, file with a line a layer");
}

TEST(ParsePolicy, RefusesEvictionUnderEntriesThatWait) {
  for (const char* text : {"window_64+kivi2", "streaming_64+kivi4", "h2o_64+kivi2"}) {
    expect_refused(text,
                   Feed::kSteps,
                   "evicts in steps; allowed: baseline and prompt cuts with decode=append");
  }
  for (const char* text : {"snapkv:budget=64,decode=evict+kivi2", "rkv_64+think", "h2o_64+kivi4"}) {
    expect_refused(text,
                   Feed::kPrompt,
                   ": entries that wait to be packed come in order and never leave, but ");
  }
  expect_refused("baseline+k=kivi2,v=kivi2,v.residual=x", Feed::kSteps, "residual is a whole");
  expect_refused("quest_64+kivi2",
                 Feed::kSteps,
                 "pages are read where every entry is packed at once; allowed: codecs without "
                 "entries that wait");
  for (const char* text : {"window_64+kivi2", "snapkv_64+think", "adakv_64+kivi4"}) {
    EXPECT_NO_THROW((void)parse_policy(text, Feed::kPrompt)) << text;
  }
}

TEST(ParsePolicy, DecodeAndPositionsHaveTheirDefaults) {
  EXPECT_EQ(canonical("window_64", Feed::kPrompt),
            "window:budget=64,decode=append,positions=original");
  EXPECT_EQ(canonical("window:budget=64,decode=evict", Feed::kPrompt),
            "window:budget=64,decode=evict,positions=cache");
  EXPECT_EQ(canonical("streaming:keep=0.25", Feed::kPrompt),
            "streaming:keep=0.25,sinks=4,decode=append,positions=original");
  EXPECT_EQ(canonical("tova_64", Feed::kSteps), "tova:budget=64,decode=evict");
  EXPECT_EQ(canonical("tova_64", Feed::kPrompt), "tova:budget=64,decode=append");
  EXPECT_TRUE(parse_policy("streaming_8").selection->cache_positions());
  EXPECT_FALSE(parse_policy("streaming:budget=8,positions=original").selection->cache_positions());
}

TEST(Budgets, AreEntriesOrAShareOfThePrompt) {
  EXPECT_EQ(plan_of("knorm_6", Feed::kPrompt, 5).kept, 5);
  EXPECT_EQ(plan_of("knorm_6", Feed::kPrompt, 7).kept, 6);
  // floor(0.25 x 11), and never nothing of something.
  EXPECT_EQ(plan_of("knorm:keep=0.25", Feed::kPrompt, 11).kept, 2);
  EXPECT_EQ(plan_of("knorm:keep=0.25", Feed::kPrompt, 3).kept, 1);
  // 0.29 as a double is a little less.
  EXPECT_EQ(plan_of("knorm:keep=0.29", Feed::kPrompt, 100).kept, 29);
  EXPECT_EQ(plan_of("knorm:keep=1", Feed::kPrompt, 11).kept, 11);
  EXPECT_EQ(parse_policy("knorm:keep=0.250", Feed::kPrompt).selection->requested(), "keep=0.25");
  EXPECT_EQ(parse_policy("knorm:keep=1", Feed::kPrompt).selection->requested(), "keep=1");
}

TEST(ParsePolicy, TakesSidesAloneAndOneCodec) {
  EXPECT_EQ(parse_policy("k=int8,v=int4").canonical,
            parse_policy("baseline+k=int8,v=int4").canonical);
  expect_refused("int8+int4", Feed::kSteps, "int8 is a codec, and a spec has one");
}

TEST(Budgets, BindInStepsAsDecodeSays) {
  EXPECT_EQ(plan_of("knorm_6", Feed::kPrompt, 11).budget, 0);
  EXPECT_EQ(plan_of("knorm:budget=6,decode=evict", Feed::kPrompt, 11).budget, 6);
  EXPECT_EQ(plan_of("knorm:keep=0.5,decode=evict", Feed::kPrompt, 11).budget, 5);
  EXPECT_EQ(plan_of("h2o_6", Feed::kPrompt, 11).budget, 6);
  EXPECT_EQ(plan_of("rkv:keep=0.5", Feed::kPrompt, 40).budget, 20);
  const HeadPlan whole = plan_of("random:budget=6,decode=evict,protect=prompt", Feed::kPrompt, 11);
  EXPECT_EQ(whole.kept, 11);
  EXPECT_EQ(whole.budget, 17);
}

TEST(Pyramidkv, FallsFromLayerToLayerAroundTheBudget) {
  const Policy policy = parse_policy("pyramidkv:budget=8,window=4,decode=evict", Feed::kPrompt);
  const auto kept = [&](std::int32_t prompt) {
    std::vector<std::int32_t> layers;
    for (int layer = 0; layer < 3; ++layer) {
      const HeadPlan plan = policy.selection->plan({layer, 3, 2, prompt}, 0);
      layers.push_back(plan.kept);
      EXPECT_EQ(plan.budget, prompt > 8 ? plan.kept : 8) << "prompt " << prompt;
    }
    return layers;
  };
  // Beside the window: 4 a layer on average, from 8 - 0 down to 4 / 20 = 0.
  EXPECT_EQ(kept(40), (std::vector<std::int32_t>{12, 8, 4}));
  // The first layer has no more than 9 - 4 beside the window.
  EXPECT_EQ(kept(9), (std::vector<std::int32_t>{9, 8, 7}));
  EXPECT_EQ(kept(8), (std::vector<std::int32_t>{8, 8, 8}));
  EXPECT_EQ(kept(5), (std::vector<std::int32_t>{5, 5, 5}));
}

TEST(Suites, ListEveryEntryOfTheTables) {
  const auto eviction = suite_of("suite:eviction");
  const auto forms = suite_of("suite:codecs");
  const auto all = suite_of("all");
  EXPECT_EQ(eviction.size(), selections().size());
  EXPECT_EQ(forms.size(), codecs().size() + 1);
  EXPECT_EQ(all.size(), eviction.size() + codecs().size());
  for (const auto& suite : {eviction, forms, all, suite_of("suite:quick")}) {
    EXPECT_EQ(suite.front(), "baseline");
    EXPECT_EQ(std::ranges::count(suite, "baseline"), 1);
    for (const std::string& spec : suite) {
      if (spec == "duo") {
        expect_refused(spec, Feed::kPrompt, "policy duo needs matrix=, file with a line a layer");
      } else {
        EXPECT_NO_THROW((void)parse_policy(spec, Feed::kPrompt)) << spec;
      }
    }
  }
  EXPECT_TRUE(suite_of("baseline").empty());
  EXPECT_TRUE(suite_of("").empty());
  expect_invalid([] { (void)suite_of("suite:nope"); },
                 "no suite named \"nope\"; known: suite:eviction, suite:codecs, suite:quick, and "
                 "all");
}

class EverySelection : public testing::TestWithParam<SelectionInfo> {};

TEST_P(EverySelection, CanonicalSpecsParseBackToThemselvesWithEveryCodec) {
  // duo's file has its own tests (duo_test.cpp).
  const std::string base(GetParam().example);
  if (base == "duo") {
    return;
  }
  std::vector<std::string> suffixes{"", "+k=int8,v=int4"};
  for (const CodecInfo& codec : codecs()) {
    suffixes.push_back("+" + std::string(codec.name));
  }
  std::size_t taken = 0;
  for (const Feed feed : {Feed::kSteps, Feed::kPrompt}) {
    for (const std::string& suffix : suffixes) {
      try {
        const std::string text = canonical(base + suffix, feed);
        EXPECT_EQ(canonical(text, feed), text);
        ++taken;
      } catch (const InvalidArgument& error) {
        EXPECT_STRNE(error.what(), "");
      }
    }
  }
  // At most kivi2, kivi4 and think are refused with a prompt.
  EXPECT_GE(taken, suffixes.size() - 3);
}

TEST(FixedVisibility, IsTheBudgetWithTheNewestOnTop) {
  const auto of = [](std::string_view spec) {
    return fixed_visibility(parse_policy(spec), 64, DType::kF32);
  };
  EXPECT_TRUE(of("baseline")->is_everything());
  EXPECT_EQ(of("baseline")->sinks, 0);
  EXPECT_EQ(of("window_16")->window, 17);
  EXPECT_EQ(of("streaming_16")->sinks, 4);
  EXPECT_EQ(of("streaming_16")->window, 13);
  EXPECT_EQ(of("streaming:budget=16,positions=original")->window, 13);
  EXPECT_EQ(of("streaming:budget=4,sinks=4")->window, 1) << "the newest alone";
  EXPECT_TRUE(of("streaming_16+f32")) << "the compute dtype";
  for (const char* spec : {"streaming_16+f16", "int8", "kivi4", "h2o_16", "tova_16", "quest_16"}) {
    EXPECT_FALSE(of(spec)) << spec;
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
