// Rows set against the baseline's: hand-made traces, and whole sessions.

#include "harness/paired.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/json_document.h"
#include "harness/session.h"
#include "model/checkpoint.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

Trace trace(std::vector<double> nll, std::vector<std::int32_t> best) {
  Trace result;
  result.nll = std::move(nll);
  result.best = std::move(best);
  return result;
}

TEST(KeepDeltas, PairsTokenByToken) {
  const std::vector<Trace> baseline{trace({1.0, 2.0, 3.0}, {7, 8, 9}), trace({4.0}, {5})};
  const std::vector<Trace> policy{trace({2.0, 2.0, 5.0}, {7, 8, 1}), trace({5.0}, {5})};
  Record record;
  keep_deltas(baseline, policy, record);
  // 1, 0, 2, 1: mean 1, squares 0, 1, 1, 0 over 3, over the root of 4.
  EXPECT_DOUBLE_EQ(*record.delta_nll, 1.0);
  EXPECT_DOUBLE_EQ(*record.delta_nll_stderr, std::sqrt(2.0 / 3.0) / 2.0);
  EXPECT_DOUBLE_EQ(*record.top1_agreement, 0.75);
}

TEST(KeepDeltas, RefusesOtherTokens) {
  const std::vector<Trace> one{trace({1.0}, {7})};
  const std::vector<Trace> two{trace({1.0, 2.0}, {7, 8})};
  Record record;
  testing_support::expect_invalid([&] { keep_deltas(one, two, record); },
                                  "both rows score the same tokens");
}

TEST(KeepDivergences, TakesTheMeanAndTheTail) {
  std::vector<double> divergences;
  for (int i = 0; i <= 100; ++i) {
    divergences.push_back(i);
  }
  Record record;
  keep_divergences(divergences, record);
  EXPECT_DOUBLE_EQ(*record.kl_mean, 50.0);
  EXPECT_DOUBLE_EQ(*record.kl_p99, 99.0);
}

class Paired : public testing::Test {
 protected:
  std::vector<Record> run(const Experiment& experiment, const Wanted& wanted = {}) {
    Session session(experiment, ears_);
    Keep kept;
    session.run({"kvgauge", "run"}, kept, wanted);
    for (const Record& record : kept.records_) {
      EXPECT_EQ(record.error, "") << record.policy;
    }
    return kept.records_;
  }

  static void expect_no_pair(const Record& record) {
    EXPECT_FALSE(record.delta_nll) << record.method;
    EXPECT_FALSE(record.delta_nll_stderr) << record.method;
    EXPECT_FALSE(record.kl_mean) << record.method;
    EXPECT_FALSE(record.kl_p99) << record.method;
    EXPECT_FALSE(record.top1_agreement) << record.method;
  }

  Ears ears_;
};

const std::vector<std::string> kPolicies{
    "baseline", "window_16", "h2o_16", "int8", "streaming_512"};

TEST_F(Paired, EveryRowOfATextIsSetAgainstTheBaseline) {
  for (const char* protocol : {"stream", "split", "score"}) {
    const auto records = run(short_in_f32(protocol, kPolicies));
    ASSERT_EQ(records.size(), kPolicies.size());
    const double baseline = std::log(*records[0].perplexity);
    for (const Record& record : records) {
      const std::string what = std::string(protocol) + " " + record.method;
      EXPECT_NEAR(*record.delta_nll, std::log(*record.perplexity) - baseline, 1e-9) << what;
      EXPECT_GT(*record.bits_per_byte, 0.5) << what;
      EXPECT_LT(*record.bits_per_byte, 4.0) << what;
    }
    for (const std::size_t row : {1U, 2U}) {
      EXPECT_GT(*records[row].delta_nll_stderr, 0.0) << protocol;
      EXPECT_GT(*records[row].kl_mean, 1e-3) << protocol << " " << records[row].method;
      EXPECT_GT(*records[row].kl_p99, *records[row].kl_mean) << protocol;
      EXPECT_LT(*records[row].top1_agreement, 1.0) << protocol;
      EXPECT_GT(*records[row].top1_agreement, 0.3) << protocol;
    }
    // Eight bits are close, and not the same.
    EXPECT_GT(*records[3].kl_mean, 0.0) << protocol;
    EXPECT_LT(*records[3].kl_mean, 1e-3) << protocol;
    EXPECT_TRUE(ears_.warnings_.empty()) << protocol;
  }
}

// The baseline itself, and what keeps as much as it.
TEST_F(Paired, WhatKeepsEverythingDoesNotDiverge) {
  for (const char* protocol : {"stream", "split", "score"}) {
    const auto records = run(short_in_f32(protocol, kPolicies));
    for (const std::size_t row : {0U, 4U}) {
      EXPECT_EQ(*records[row].delta_nll, 0.0) << protocol;
      EXPECT_EQ(*records[row].delta_nll_stderr, 0.0) << protocol;
      EXPECT_EQ(*records[row].kl_mean, 0.0) << protocol;
      EXPECT_EQ(*records[row].kl_p99, 0.0) << protocol;
      EXPECT_EQ(*records[row].top1_agreement, 1.0) << protocol;
    }
  }
}

TEST_F(Paired, WithoutABaselineThereIsNothingToPair) {
  const auto records = run(short_in_f32("stream", {"window_16", "int8"}));
  ASSERT_EQ(records.size(), 2U) << "no row is added";
  for (const Record& record : records) {
    expect_no_pair(record);
    EXPECT_TRUE(record.bits_per_byte);
    EXPECT_FALSE(record.nll_by_position.empty());
  }
}

TEST_F(Paired, RandomIdsAreNotPaired) {
  Experiment experiment = short_in_f32("stream", {"baseline", "window_16"});
  experiment.model =
      "synthetic:" + model::find_model("tiny-llama", 0).folder.string() + "/config.json";
  for (const Record& record : run(experiment)) {
    expect_no_pair(record);
    EXPECT_FALSE(record.bits_per_byte);
  }
}

TEST_F(Paired, NoKlLeavesTheRest) {
  Experiment experiment = short_in_f32("stream", {"baseline", "window_16"});
  experiment.kl = false;
  const auto records = run(experiment);
  for (const Record& record : records) {
    EXPECT_FALSE(record.kl_mean);
    EXPECT_FALSE(record.kl_p99);
    EXPECT_TRUE(record.delta_nll);
    EXPECT_TRUE(record.top1_agreement);
  }
}

// What follows from the numbers alone.
nlohmann::json paired_figures(const Record& record) {
  const nlohmann::json all = to_json(record);
  nlohmann::json figures;
  for (const char* key : {"method",
                          "perplexity",
                          "delta_nll",
                          "delta_nll_stderr",
                          "kl_mean",
                          "kl_p99",
                          "top1_agreement",
                          "bits_per_byte",
                          "accuracy_low",
                          "accuracy_high",
                          "nll_by_position"}) {
    figures[key] = all.at(key);
  }
  return figures;
}

TEST_F(Paired, ARowDoesNotDependOnWhereTheBaselineStands) {
  const auto first = run(short_in_f32("stream", {"baseline", "window_16", "h2o_16"}));
  const auto last = run(short_in_f32("stream", {"window_16", "h2o_16", "baseline"}));
  ASSERT_EQ(last.size(), 3U);
  EXPECT_EQ(last[2].method, "baseline") << "rows come in the order given";
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(paired_figures(last[row]), paired_figures(first[(row + 1) % 3]));
  }
}

TEST_F(Paired, ABaselineThatIsNotWantedAgainIsMeasuredButNotReported) {
  const Experiment experiment = short_in_f32("stream", {"baseline", "window_16", "h2o_16"});
  const auto all = run(experiment);
  const auto rest =
      run(experiment, [](const PlannedRow& row) { return row.policy->method == "h2o_16"; });
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(paired_figures(rest[0]), paired_figures(all[2]));
}

TEST_F(Paired, MemoryFiguresAreThoseOfTheRowAlone) {
  Experiment experiment = short_in_f32("stream", {"baseline", "h2o_16"});
  const auto paired = run(experiment);
  experiment.kl = false;
  const auto alone = run(experiment);
  for (std::size_t row = 0; row < 2; ++row) {
    EXPECT_EQ(paired[row].memory->pool_used_peak_bytes, alone[row].memory->pool_used_peak_bytes);
    EXPECT_EQ(paired[row].memory->kv_bytes, alone[row].memory->kv_bytes);
    EXPECT_EQ(paired[row].memory->workspace_bytes, alone[row].memory->workspace_bytes);
  }
}

TEST_F(Paired, WhatDoesNotFitSideBySideKeepsItsRow) {
  Experiment experiment = short_in_f32("stream", {"baseline", "h2o_16"});
  {
    const Session session(experiment, ears_);
    const auto rows = session.rows();
    experiment.memory_limit = std::max(rows[0].plan.total(), rows[1].plan.total());
  }
  const auto records = run(experiment);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_FALSE(records[1].kl_mean);
  EXPECT_FALSE(records[1].kl_p99);
  EXPECT_TRUE(records[1].delta_nll);
  ASSERT_EQ(ears_.warnings_.size(), 1U);
  EXPECT_TRUE(
      ears_.warnings_[0].starts_with("h2o_16: no kl_mean and no kl_p99: it and the baseline need "))
      << ears_.warnings_[0];
}

}  // namespace
}  // namespace kvg::harness
