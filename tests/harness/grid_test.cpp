#include "harness/grid.h"

#include <gtest/gtest.h>

#include "harness/choices.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;
using Texts = std::vector<std::string>;

void give(Grid& grid, const std::string& flag, const std::string& text) {
  for (const Choice& choice : choices()) {
    if (choice.flag == flag) {
      choice.give(grid, text);
      return;
    }
  }
  ADD_FAILURE() << flag;
}

TEST(ExperimentsOf, IsOneWithoutLists) {
  const auto experiments = experiments_of(Grid{});
  ASSERT_EQ(experiments.size(), 1U);
  EXPECT_EQ(experiments[0].model, "tiny-llama");
  EXPECT_EQ(experiments[0].protocol, "stream");
  EXPECT_EQ(experiments[0].policies.size(), 4U);
  EXPECT_EQ(experiments[0].variant, "");
}

TEST(ExperimentsOf, GoesModelByModelThenCountByCount) {
  Grid grid;
  give(grid, "--batch", "1,2");
  give(grid, "--protocol", "speed");
  give(grid, "--prompt-len", "16-64*4");
  give(grid, "--gen-len", "7");
  give(grid, "--model", "b");
  give(grid, "--model", "a");
  Texts seen;
  for (const Experiment& experiment : experiments_of(grid)) {
    EXPECT_EQ(experiment.gen_len, 7);
    EXPECT_EQ(experiment.protocol, "speed");
    seen.push_back(experiment.model + ": " + experiment.variant);
    EXPECT_EQ(experiment.variant,
              "prompt-len " + std::to_string(*experiment.prompt_len) + ", batch " +
                  std::to_string(*experiment.batch));
  }
  EXPECT_EQ(seen,
            (Texts{"b: prompt-len 16, batch 1",
                   "b: prompt-len 16, batch 2",
                   "b: prompt-len 64, batch 1",
                   "b: prompt-len 64, batch 2",
                   "a: prompt-len 16, batch 1",
                   "a: prompt-len 16, batch 2",
                   "a: prompt-len 64, batch 1",
                   "a: prompt-len 64, batch 2"}));
}

TEST(ExperimentsOf, AsksATaskWhereTheFirstDatasetIsOne) {
  Grid grid;
  give(grid, "--dataset", "niah");
  EXPECT_EQ(experiments_of(grid)[0].protocol, "task");
  give(grid, "--protocol", "split");
  EXPECT_EQ(experiments_of(grid)[0].protocol, "split");
}

TEST(ExperimentsOf, RefusesMoreThanAnyoneWaitsFor) {
  Grid grid;
  give(grid, "--max-tokens", "1000-1999");
  give(grid, "--prefill", "1-101");
  expect_invalid([&grid] { static_cast<void>(experiments_of(grid)); },
                 "more than the 100000 cells allowed");
}

TEST(Choices, RefuseWhatTheyCannotBe) {
  Grid grid;
  const auto refuses = [&grid](const char* flag, const char* text, const char* part) {
    expect_invalid([&] { give(grid, flag, text); }, part);
  };
  refuses("--batch", "0-4", "--batch 0-4 is not understood; allowed: up to 1000 whole numbers");
  refuses("--batch", "1,two", "--batch 1,two is not understood");
  refuses("--batch", "many", "--batch many is no whole number in range; allowed: 1 to 4096");
  refuses("--num-samples", "1,2", "--num-samples 1,2 is no whole number in range");
  refuses("--threads", "1-4", "--threads 1-4 is no whole number in range");
  refuses("--seed", "1,2", "--seed 1,2 is no whole number in range");
  refuses("--memory-limit", "8 apples", "size \"8 apples\" is not understood");
  refuses("--policy", "window_8-4", "--policy window_8-4: the range 8-4 is not understood");
}

TEST(ExpandPolicy, MakesASpecOfEveryBudget) {
  EXPECT_EQ(expand_policy("window_256-1024*2"), (Texts{"window_256", "window_512", "window_1024"}));
  EXPECT_EQ(expand_policy("h2o_100-300+100+int4"),
            (Texts{"h2o_100+int4", "h2o_200+int4", "h2o_300+int4"}));
  EXPECT_EQ(expand_policy("window_7-8+int4"), (Texts{"window_7+int4", "window_8+int4"}));
  EXPECT_EQ(expand_policy("streaming:budget=8-16*2,sinks=2+int4:group=32"),
            (Texts{"streaming:budget=8,sinks=2+int4:group=32",
                   "streaming:budget=16,sinks=2+int4:group=32"}));
  EXPECT_EQ(expand_policy("streaming:sinks=1,budget=2-3"),
            (Texts{"streaming:sinks=1,budget=2", "streaming:sinks=1,budget=3"}));
}

TEST(ExpandPolicy, LeavesEverythingElseAlone) {
  for (const char* spec : {"baseline",
                           "",
                           "_",
                           "q8_0",
                           "window_256",
                           "hadamard_int4",
                           "snapkv:keep=0.25+kivi2",
                           "duo:pattern=a_1-3.json",
                           "window:budget=x-y",
                           "nosuch_-"}) {
    EXPECT_EQ(expand_policy(spec), (Texts{spec})) << spec;
  }
}

}  // namespace
}  // namespace kvg::harness
