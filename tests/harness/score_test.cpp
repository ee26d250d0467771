// Protocol score against protocol stream, and how many samples it runs together.

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "harness/session.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"
#include "tests/support/temp_folder.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;

class Score : public testing::Test {
 protected:
  std::vector<Record> run(const Experiment& experiment) {
    Session session(experiment, ears_);
    Keep kept;
    session.run({"kvgauge", "run"}, kept);
    for (const Record& record : kept.records_) {
      EXPECT_EQ(record.error, "") << record.policy;
    }
    return kept.records_;
  }

  // The row that a session plans for its only policy.
  PlannedRow planned(const Experiment& experiment) {
    const Session session(experiment, ears_);
    return session.rows()[0];
  }

  Ears ears_;
};

const std::vector<std::string> kPolicies{"baseline",
                                         "streaming_16",
                                         "streaming:budget=16,positions=original",
                                         "window_16",
                                         "streaming_512",
                                         "h2o_16",
                                         "tova_16",
                                         "random_16",
                                         "streaming_16+int8",
                                         "kivi4"};

TEST_F(Score, ScoresAsStreamDoes) {
  for (const char* model : {"tiny-llama", "tiny-neox"}) {
    Experiment streamed = short_in_f32("stream", kPolicies);
    streamed.model = model;
    streamed.warmup = 0;
    Experiment scored = short_in_f32("score", kPolicies);
    scored.model = model;
    const auto expected = run(streamed);
    const auto actual = run(scored);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::string what = std::string(model) + ", " + expected[i].policy;
      // A codec of 8 bits turns roundings into steps of its codes: the bound of its oracles.
      const bool coded = expected[i].policy.find('+') != std::string::npos;
      const double bound = coded ? 2e-3 : 1e-4;
      EXPECT_NEAR(*actual[i].perplexity / *expected[i].perplexity, 1.0, bound) << what;
      EXPECT_NEAR(*actual[i].perplexity_stderr / *expected[i].perplexity_stderr, 1.0, 1e-3) << what;
      // A near-tie may fall either way.
      EXPECT_NEAR(*actual[i].accuracy, *expected[i].accuracy, 1.5 / 267) << what;
      EXPECT_EQ(actual[i].eval_tokens, expected[i].eval_tokens) << what;
      EXPECT_EQ(*actual[i].final_cache_size, *expected[i].final_cache_size) << what;
      EXPECT_EQ(actual[i].kept_entries->max, expected[i].kept_entries->max) << what;
      EXPECT_DOUBLE_EQ(*actual[i].kept_fraction, *expected[i].kept_fraction) << what;
      ASSERT_EQ(actual[i].samples.size(), 3U);
      for (std::size_t sample = 0; sample < 3; ++sample) {
        const Sample& sums = expected[i].samples[sample];
        const auto tokens = static_cast<double>(sums.eval_tokens);
        EXPECT_NEAR(
            *actual[i].samples[sample].nll_sum, *sums.nll_sum, coded ? bound * tokens : 0.02)
            << what;
      }
    }
  }
}

TEST_F(Score, TimesNoStep) {
  for (const Record& record : run(short_in_f32("score", {"streaming_16", "h2o_16"}))) {
    EXPECT_EQ(record.protocol, "score");
    EXPECT_FALSE(record.ttft) << record.policy;
    EXPECT_FALSE(record.tpot);
    EXPECT_FALSE(record.itl_p50);
    EXPECT_FALSE(record.samples[0].ttft);
    EXPECT_FALSE(record.kv_bytes_read_per_step);
    EXPECT_FALSE(record.spread);
    const auto batch = std::ranges::find(record.settings, "batch", &Setting::name);
    ASSERT_NE(batch, record.settings.end());
    EXPECT_EQ(std::get<std::string>(batch->value), "auto");
    EXPECT_GT(*record.total_time, 0.0);
    EXPECT_NEAR(*record.throughput * *record.total_time, 267.0, 1e-6);
  }
}

TEST_F(Score, OnePassHoldsNoCacheAndStepsHoldOneARow) {
  const auto records = run(short_in_f32("score", {"streaming_16", "h2o_16"}));
  EXPECT_EQ(records[0].memory->kv_bytes, 0);
  EXPECT_FALSE(records[0].bits_per_element);
  EXPECT_EQ(records[1].batch, 3);
  Experiment one = short_in_f32("score", {"h2o_16"});
  one.batch = 1;
  EXPECT_EQ(records[1].memory->kv_bytes, 3 * run(one)[0].memory->kv_bytes);
}

TEST_F(Score, RunsAsManySamplesTogetherAsFit) {
  Experiment experiment = short_in_f32("score", {"h2o_64"});
  experiment.num_samples = 10;
  EXPECT_EQ(planned(experiment).shape.batch, 10);
  experiment.batch = 7;
  const std::size_t seven = planned(experiment).plan.total();
  experiment.batch = 8;
  const std::size_t eight = planned(experiment).plan.total();
  ASSERT_LT(seven, eight);
  experiment.batch = kAuto;
  experiment.memory_limit = seven;
  EXPECT_EQ(planned(experiment).shape.batch, 7);
  experiment.memory_limit = eight - 1;
  EXPECT_EQ(planned(experiment).shape.batch, 7);
  experiment.memory_limit = eight;
  EXPECT_EQ(planned(experiment).shape.batch, 8);
  // Ten samples in groups of seven and three.
  experiment.memory_limit = seven;
  const Record grouped = run(experiment)[0];
  EXPECT_EQ(grouped.batch, 7);
  EXPECT_EQ(grouped.samples.size(), 10U);
  experiment.memory_limit = {};
  const Record together = run(experiment)[0];
  for (std::size_t i = 0; i < 10; ++i) {
    // More rows go through other products, with sums in another order.
    EXPECT_NEAR(*grouped.samples[i].nll_sum, *together.samples[i].nll_sum, 0.02) << i;
  }
}

TEST_F(Score, OnePassTakesAsManySamplesAsFillAProduct) {
  Experiment experiment = short_in_f32("score", {"baseline"});
  experiment.num_samples = 40;
  // 2048 rows of a product, 89 tokens fed of each sample.
  EXPECT_EQ(planned(experiment).shape.batch, 23);
  experiment.max_tokens = 3000;
  EXPECT_EQ(planned(experiment).shape.batch, 1);
}

TEST_F(Score, TakesSamplesOfUnequalLength) {
  testing_support::TempFolder folder;
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "She read the letter again, and " + std::to_string(i) + " times more. ";
  }
  const std::string file = folder.write("short.txt", text);
  const std::vector<std::string> policies{"baseline", "streaming_16", "h2o_16"};
  std::vector<std::vector<Record>> both;
  for (const char* protocol : {"stream", "score"}) {
    Experiment experiment = short_in_f32(protocol, policies);
    experiment.datasets = {file};
    experiment.max_tokens = 200;
    experiment.num_samples = 10;
    both.push_back(run(experiment));
  }
  const auto& samples = both[0][0].samples;
  ASSERT_GT(samples.size(), 1U);
  ASSERT_LT(samples.back().tokens, samples.front().tokens);
  for (std::size_t i = 0; i < policies.size(); ++i) {
    for (std::size_t sample = 0; sample < samples.size(); ++sample) {
      const Sample& expected = both[0][i].samples[sample];
      const Sample& actual = both[1][i].samples[sample];
      EXPECT_EQ(actual.tokens, expected.tokens);
      EXPECT_NEAR(*actual.nll_sum, *expected.nll_sum, 0.02) << policies[i];
      EXPECT_EQ(actual.final_cache_size, expected.final_cache_size) << policies[i];
    }
  }
}

TEST_F(Score, TakesSyntheticModelsForTheirSpeed) {
  Experiment experiment = short_in_f32("score", {"streaming_16"});
  experiment.model = "synthetic:pythia-70m";
  experiment.max_tokens = 30;
  const auto records = run(experiment);
  EXPECT_FALSE(records[0].perplexity);
  EXPECT_GT(*records[0].throughput, 0.0);
}

TEST_F(Score, RefusesWhatMeansNothingToIt) {
  Experiment experiment = short_in_f32("score", {"baseline"});
  experiment.prefill = 8;
  expect_invalid([&] { check(experiment); }, "--prefill means nothing to protocol score");
  experiment.prefill = {};
  experiment.warmup = 8;
  expect_invalid([&] { check(experiment); }, "--warmup means nothing to protocol score");
  experiment.warmup = {};
  experiment.batch = 0;
  expect_invalid([&] { check(experiment); }, "--batch 0 is out of range; allowed: 1 to 4096");
  Experiment speed;
  speed.protocol = "speed";
  speed.batch = kAuto;
  expect_invalid([&] { check(speed); },
                 "--batch auto means nothing to protocol speed; it belongs to: score");
  expect_invalid([&] { Session(short_in_f32("score", {"snapkv_64"}), ears_); },
                 "policy snapkv cuts after a prompt, and here is none");
}

}  // namespace
}  // namespace kvg::harness
