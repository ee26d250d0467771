#include "harness/experiment.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;

TEST(ParseSize, TakesBinaryDecimalAndPlainBytes) {
  EXPECT_EQ(parse_size("8GiB"), std::size_t{8} << 30U);
  EXPECT_EQ(parse_size("512MiB"), std::size_t{512} << 20U);
  EXPECT_EQ(parse_size("1.5GB"), 1'500'000'000U);
  EXPECT_EQ(parse_size("2 kib"), 2048U);
  EXPECT_EQ(parse_size("3TB"), 3'000'000'000'000U);
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("7B"), 7U);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "8XB", "-1GiB", "0", "0.1", "1e3", "8GiBs", "nan", "inf"}) {
    expect_invalid([text] { return parse_size(text); }, "such as 8GiB");
  }
}

TEST(CheckExperiment, TakesTheMainJob) {
  EXPECT_NO_THROW(check(Experiment{}));
}

TEST(CheckExperiment, RefusesEveryCountBelowAndAboveItsRange) {
  for (const CountInfo& count : counts()) {
    Experiment experiment;
    const std::string first(count.protocols.substr(0, count.protocols.find(' ')));
    experiment.protocol = first.empty() ? "stream" : first;
    for (const std::int32_t bad : {count.min - 1, count.max + 1, -7}) {
      experiment.*count.member = bad;
      expect_invalid([&] { check(experiment); },
                     std::string(count.flag) + " " + std::to_string(bad) +
                         " is out of range; allowed: " + std::to_string(count.min) + " to " +
                         std::to_string(count.max));
    }
  }
}

TEST(CheckExperiment, NamesTheProtocols) {
  expect_invalid([] { check({.protocol = "swim"}); },
                 "no protocol named \"swim\"; known: stream, split, speed");
}

TEST(CheckExperiment, RefusesWhatMeansNothingTogether) {
  expect_invalid([] { check({.prompt_len = 8}); },
                 "--prompt-len means nothing to protocol stream; it belongs to: speed");
  expect_invalid([] { check({.protocol = "speed", .max_tokens = 8}); },
                 "--max-tokens means nothing to protocol speed; it belongs to: stream split");
  expect_invalid([] { check({.datasets = {"persuasion"}, .protocol = "speed"}); },
                 "--dataset means nothing to protocol speed");
  expect_invalid([] { check({.model = "synthetic:pythia-2.8b", .datasets = {"persuasion"}}); },
                 "a synthetic model has no tokenizer");
  expect_invalid([] { check({.policies = {}}); }, "no --policy is left");
}

TEST(CheckExperiment, RefusesAPromptThatLeavesNothingToScore) {
  expect_invalid([] { check({.protocol = "split", .max_tokens = 100, .prefill = 100}); },
                 "--prefill 100 leaves nothing to score; allowed: 1 to --max-tokens - 1, here 99");
  EXPECT_NO_THROW(check({.protocol = "split", .max_tokens = 100, .prefill = 99}));
}

TEST(CheckExperiment, RefusesMoreIdsThanCanBeIndexed) {
  expect_invalid([] { check({.protocol = "speed", .prompt_len = 4'194'304, .batch = 4096}); },
                 "--batch times --prompt-len is 17179869184; at most 67108864");
  expect_invalid(
      [] { check({.model = "synthetic:x", .max_tokens = 4'194'304, .num_samples = 100'000}); },
      "--num-samples times --max-tokens is 419430400000; at most 67108864");
  EXPECT_NO_THROW(check({.max_tokens = 4'194'304, .num_samples = 100'000})) << "a text ends";
}

TEST(ValueOf, IsTheDefaultUntilGiven) {
  Experiment experiment;
  EXPECT_EQ(value_of(experiment, &Experiment::max_tokens), 2000);
  EXPECT_EQ(value_of(experiment, &Experiment::num_samples), 3);
  experiment.max_tokens = 10;
  EXPECT_EQ(value_of(experiment, &Experiment::max_tokens), 10);
}

TEST(CheckExperiment, RefusesNoKlWhereNothingIsCompared) {
  Experiment experiment;
  experiment.kl = false;
  EXPECT_NO_THROW(check(experiment));
  experiment.protocol = "speed";
  expect_invalid([&] { check(experiment); },
                 "--no-kl means nothing to protocol speed; it belongs to: stream, split, score");
}

TEST(SettingsOf, NameKlWhereItIsOff) {
  const auto names_kl = [](const Experiment& experiment) {
    const std::vector<Setting> settings = settings_of(experiment);
    return std::ranges::find(settings, "kl", &Setting::name) != settings.end();
  };
  Experiment experiment;
  EXPECT_FALSE(names_kl(experiment));
  experiment.kl = false;
  EXPECT_TRUE(names_kl(experiment));
}

}  // namespace
}  // namespace kvg::harness
