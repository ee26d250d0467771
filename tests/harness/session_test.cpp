#include "harness/session.h"

#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/json_document.h"
#include "harness/statistics.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using nlohmann::json;
using testing_support::expect_throw;

// Breaks off every row whose label starts with `broken_`.
class BreakingEars final : public Ears {
 public:
  void progress(std::string_view what, std::size_t /*done*/, std::size_t /*total*/) override {
    if (!broken_.empty() && what.starts_with(broken_)) {
      throw std::runtime_error("broken off\non purpose");
    }
  }

  std::string broken_;
};

class RunSession : public testing::Test {
 protected:
  static Experiment small() {
    Experiment experiment;
    experiment.device = KVG_TEST_DEVICE;
    experiment.max_tokens = 40;
    experiment.num_samples = 2;
    experiment.policies = {"baseline,streaming_16", "window:budget=8,positions=original"};
    return experiment;
  }

  std::vector<Record> run(const Experiment& experiment) {
    Session session(experiment, ears_);
    session.expect_some_fit();
    kept_ = std::make_unique<Keep>();
    failed_ = session.run({"kvgauge", "run"}, *kept_);
    return kept_->records_;
  }

  BreakingEars ears_;
  std::unique_ptr<Keep> kept_;
  std::size_t failed_ = 0;
};

json without_times(const Record& record) {
  json result = to_json(record);
  for (const char* key : {"ttft",
                          "tpot",
                          "throughput",
                          "total_time",
                          "itl_p50",
                          "itl_p90",
                          "itl_p99",
                          "prefill_throughput",
                          "decode_throughput",
                          "sm_clock_mhz",
                          "sm_clock_before_mhz",
                          "throttled",
                          "throttle_reasons",
                          "ttft_low",
                          "ttft_high",
                          "tpot_low",
                          "tpot_high",
                          "fraction_of_bound_tpot",
                          "fraction_of_bound_ttft",
                          "spread",
                          "noisy"}) {
    result.erase(key);
  }
  for (json& sample : result.at("samples")) {
    for (const char* key : {"ttft", "tpot", "total_time", "step_times"}) {
      sample.erase(key);
    }
  }
  // Of the process as a whole, not of the row.
  for (const char* key : {"process_bytes", "unaccounted_bytes"}) {
    result.at("memory").erase(key);
  }
  return result;
}

TEST_F(RunSession, YieldsOneRecordAPolicyInTheOrderGiven) {
  const auto records = run(small());
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].method, "baseline");
  EXPECT_EQ(records[1].method, "streaming_16");
  EXPECT_EQ(records[1].policy, "streaming:budget=16,sinks=4,decode=evict,positions=cache");
  EXPECT_EQ(records[2].method, "window:budget=8,positions=original");
  EXPECT_EQ(failed_, 0U);
  for (const Record& record : records) {
    EXPECT_EQ(record.error, "");
    EXPECT_EQ(record.eval_tokens, 2 * 39);
    EXPECT_EQ(record.samples.size(), 2U);
    EXPECT_GT(*record.perplexity, 1.0);
    EXPECT_GT(*record.ttft, 0.0);
    EXPECT_NEAR(*record.throughput * *record.total_time, 78.0, 1e-6);
    EXPECT_GT(record.memory->pool_used_peak_bytes, 0);
  }
  EXPECT_EQ(*records[0].final_cache_size, 39.0);
  EXPECT_EQ(*records[1].final_cache_size, 16.0);
  EXPECT_EQ(*records[2].final_cache_size, 8.0);
}

TEST_F(RunSession, PutsTheLimitInTheRow) {
  const auto records = run(small());
  for (const Record& record : records) {
    ASSERT_TRUE(record.calibration);
    EXPECT_GT(*record.calibration->read_gbps, 0.0);
    EXPECT_EQ(*record.calibration->read_gbps, *records[0].calibration->read_gbps)
        << "measured once a process";
    EXPECT_DOUBLE_EQ(*record.fraction_of_bound_tpot * *record.tpot, *record.bound_tpot);
    EXPECT_DOUBLE_EQ(*record.fraction_of_bound_ttft * *record.ttft, *record.bound_ttft);
    EXPECT_GT(*record.flops_prefill, 0.0);
    EXPECT_TRUE(record.noisy);
    EXPECT_EQ(record.launch_bound.has_value(), record.on_cuda);
    ASSERT_EQ(record.samples[0].step_times.size(), 38U);
    EXPECT_EQ(*record.samples[0].tpot, mean(record.samples[0].step_times));
  }
  // 38 steps see 1 to 38 entries and append one: 20.5 of them on average, or at most 16 and 8.
  const double entry = static_cast<double>(*records[0].kv_bytes_read_per_step) / 39.0;
  const double weights = static_cast<double>(*records[0].bytes_per_step) - 20.5 * entry;
  EXPECT_DOUBLE_EQ(*records[0].compression_speedup_bound, 1.0);
  const double kept_16 = (16.0 * 17.0 / 2.0 + 22.0 * 16.0) / 38.0 + 1.0;
  const double kept_8 = (8.0 * 9.0 / 2.0 + 30.0 * 8.0) / 38.0 + 1.0;
  EXPECT_NEAR(static_cast<double>(*records[1].bytes_per_step), weights + kept_16 * entry, 1.0)
      << "rounded to whole bytes";
  EXPECT_NEAR(static_cast<double>(*records[2].bytes_per_step), weights + kept_8 * entry, 1.0);
  EXPECT_GT(*records[2].compression_speedup_bound, *records[1].compression_speedup_bound);
}

TEST_F(RunSession, MakesATableForEveryTextWithItsProvenance) {
  Experiment experiment = small();
  experiment.datasets = {"looking-glass", "persuasion"};
  experiment.policies = {"baseline"};
  const auto records = run(experiment);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].dataset, "looking-glass");
  EXPECT_EQ(records[1].dataset, "persuasion");
  ASSERT_EQ(kept_->tables_.size(), 2U);
  EXPECT_EQ(kept_->tables_[1].methods, std::vector<std::string>{"baseline"});
  EXPECT_EQ(kept_->environment_.weights.sha256.size(), 64U);
  ASSERT_EQ(kept_->environment_.texts.size(), 2U);
  EXPECT_NE(kept_->environment_.texts[0].sha256, kept_->environment_.texts[1].sha256);
}

TEST_F(RunSession, GivesARowAfterOthersWhatItGivesAlone) {
  Experiment experiment = small();
  experiment.policies = {"baseline,h2o_16,streaming_16"};
  const Record after = run(experiment)[2];
  experiment.policies = {"streaming_16"};
  json alone = without_times(run(experiment)[0]);
  // What sets it against the baseline, it has not.
  for (const char* key : {"delta_nll", "delta_nll_stderr", "kl_mean", "kl_p99", "top1_agreement"}) {
    EXPECT_TRUE(alone.at(key).is_null()) << key;
    alone[key] = without_times(after).at(key);
  }
  EXPECT_FALSE(alone.at("settings").contains("paired"));
  alone.at("settings")["paired"] = "baseline";
  EXPECT_EQ(without_times(after), alone);
}

TEST_F(RunSession, GivesABudgetAsLongAsTheTextTheBaselinesFigures) {
  Experiment experiment = small();
  experiment.policies = {"baseline", "streaming_39", "window_64"};
  const auto records = run(experiment);
  EXPECT_EQ(*records[1].perplexity, *records[0].perplexity);
  EXPECT_EQ(*records[2].perplexity, *records[0].perplexity);
  EXPECT_EQ(*records[2].final_cache_size, 39.0);
}

TEST_F(RunSession, LetsOthersGoOnWhenARowFails) {
  ears_.broken_ = "streaming_16";
  const auto records = run(small());
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(failed_, 1U);
  EXPECT_EQ(records[1].status, Status::kFailed);
  EXPECT_EQ(records[1].error, "broken off on purpose");
  EXPECT_FALSE(records[1].memory);
  EXPECT_TRUE(records[1].samples.empty());
  ears_.broken_ = "";
  EXPECT_EQ(without_times(records[2]), without_times(run(small())[2]));
}

TEST_F(RunSession, FailsOnlyTheRowsAboveTheMemoryLimit) {
  Experiment experiment = small();
  experiment.max_tokens = 400;
  experiment.num_samples = 1;
  Session plan(experiment, ears_);
  ASSERT_GT(plan.rows()[0].plan.total(), plan.rows()[1].plan.total());
  experiment.memory_limit = plan.rows()[0].plan.total() - 1;
  const auto records = run(experiment);
  EXPECT_EQ(failed_, 1U);
  EXPECT_EQ(records[0].status, Status::kFailed);
  EXPECT_NE(records[0].error.find("policy baseline needs "), std::string::npos);
  EXPECT_NE(records[0].error.find("of --memory-limit"), std::string::npos);
  EXPECT_EQ(records[1].status, Status::kOk);
  EXPECT_EQ(records[2].status, Status::kOk);
}

TEST_F(RunSession, RefusesWhatNoPolicyFits) {
  Experiment experiment = small();
  experiment.memory_limit = 1000;
  Session session(experiment, ears_);
  expect_throw<OutOfMemory>([&] { session.expect_some_fit(); },
                            "above the 9.313e-07 GB of --memory-limit");
}

TEST_F(RunSession, SplitScoresTheRestOfEachSample) {
  Experiment experiment = small();
  experiment.protocol = "split";
  for (const Record& record : run(experiment)) {
    EXPECT_EQ(record.error, "");
    EXPECT_EQ(record.eval_tokens, 2 * 20);
  }
  EXPECT_EQ(*kept_->records_[0].final_cache_size, 39.0);
  EXPECT_EQ(*kept_->records_[1].final_cache_size, 35.0) << "16 of the prompt and 19 appended";
  experiment.prefill = 39;
  EXPECT_EQ(run(experiment)[1].eval_tokens, 2);
  EXPECT_FALSE(kept_->records_[1].tpot);
}

TEST_F(RunSession, SpeedGeneratesForEveryRow) {
  Experiment experiment = small();
  experiment.max_tokens = {};
  experiment.num_samples = {};
  experiment.protocol = "speed";
  experiment.prompt_len = 12;
  experiment.gen_len = 9;
  experiment.batch = 3;
  experiment.repetitions = 2;
  const auto records = run(experiment);
  for (const Record& record : records) {
    EXPECT_EQ(record.error, "");
    EXPECT_EQ(record.eval_tokens, 27);
    EXPECT_EQ(record.samples.size(), 2U);
    EXPECT_FALSE(record.perplexity);
    EXPECT_GT(*record.decode_throughput, 0.0);
    EXPECT_NEAR(*record.prefill_throughput * *record.ttft, 36.0, 1e-6);
  }
  EXPECT_EQ(*records[0].final_cache_size, 20.0);
  EXPECT_EQ(*records[1].final_cache_size, 20.0) << "the prompt is within the budget";
  EXPECT_EQ(*records[2].final_cache_size, 16.0) << "8 of the prompt and 8 appended";
}

TEST_F(RunSession, ScoresNothingOfASyntheticModel) {
  Experiment experiment = small();
  experiment.model = "synthetic:qwen2.5-0.5b";
  experiment.max_tokens = 5;
  experiment.num_samples = 1;
  experiment.warmup = 0;
  experiment.policies = {"streaming:budget=2,sinks=1"};
  const auto records = run(experiment);
  EXPECT_EQ(records[0].error, "");
  EXPECT_EQ(records[0].dataset, "random");
  EXPECT_FALSE(records[0].perplexity);
  EXPECT_FALSE(records[0].accuracy);
  EXPECT_EQ(records[0].eval_tokens, 4);
  EXPECT_EQ(*records[0].final_cache_size, 2.0);
}

// What an independent implementation computes, through everything from the text to the record.
class AgainstOracles : public RunSession {
 protected:
  AgainstOracles() {
    experiment_.device = KVG_TEST_DEVICE;
    experiment_.dtype = "f32";
    experiment_.max_tokens = 2048;
    experiment_.num_samples = 1;
  }

  void expect(const char* section, const char* setting) {
    std::ifstream file(KVG_ORACLES);
    const json oracles = json::parse(file);
    for (const char* model : {"tiny-llama", "tiny-neox"}) {
      experiment_.model = model;
      const Record record = run(experiment_).at(0);
      const json& text = oracles.at(model).at(section).at(setting).at("persuasion.txt");
      const double ppl = text.at("ppl");
      ASSERT_TRUE(record.perplexity) << record.error;
      EXPECT_NEAR(*record.perplexity, ppl, 2e-4 * ppl) << model;
      // A near-tie may fall either way.
      EXPECT_NEAR(*record.accuracy, text.at("acc").get<double>(), 2.5 / 2048) << model;
    }
  }

  Experiment experiment_;
};

TEST_F(AgainstOracles, StreamAgrees) {
  experiment_.policies = {"streaming_256"};
  expect("decode", "streaming_sinks4_budget256");
}

TEST_F(AgainstOracles, SplitAgrees) {
  experiment_.protocol = "split";
  experiment_.prefill = 1024;
  experiment_.policies = {"baseline"};
  expect("split_P1024_N1023", "full_budget0");
  EXPECT_EQ(kept_->records_[0].eval_tokens, 1024);
}

}  // namespace
}  // namespace kvg::harness
