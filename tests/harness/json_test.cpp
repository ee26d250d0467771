#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"
#include "tests/harness/fixed_records.h"

namespace kvg::harness {
namespace {

using nlohmann::json;

json run_document() {
  std::string last;
  const auto reporter = make_json_reporter([&last](std::string_view text) { last = text; });
  reporter->begin_run(fixed_environment());
  reporter->add(measured_record());
  reporter->add(failed_record());
  return json::parse(last);
}

TEST(JsonReporter, WritesEveryFieldOfTheContract) {
  const json document = run_document();
  EXPECT_EQ(document.at("schema"), "kvgauge.run/1");
  ASSERT_EQ(document.at("records").size(), 2U);
  for (const json& record : document.at("records")) {
    for (const char* key : {"method",
                            "policy",
                            "model",
                            "dataset",
                            "protocol",
                            "device",
                            "ttft",
                            "tpot",
                            "throughput",
                            "total_time",
                            "perplexity",
                            "perplexity_stderr",
                            "bits_per_byte",
                            "nll_by_position",
                            "delta_nll",
                            "delta_nll_stderr",
                            "kl_mean",
                            "kl_p99",
                            "top1_agreement",
                            "ttft_low",
                            "ttft_high",
                            "tpot_low",
                            "tpot_high",
                            "accuracy",
                            "eval_tokens",
                            "final_cache_size",
                            "peak_vram_gb",
                            "peak_memory_gb",
                            "memory",
                            "samples",
                            "status",
                            "error",
                            "seed",
                            "budget_requested",
                            "kept_entries",
                            "kept_fraction",
                            "bits_per_element",
                            "kv_bytes",
                            "kv_bytes_read_per_step"}) {
      EXPECT_TRUE(record.contains(key)) << key;
    }
    for (const char* key : {"weights_bytes",
                            "kv_bytes",
                            "activations_bytes",
                            "workspace_bytes",
                            "pool_used_peak_bytes",
                            "pool_reserved_peak_bytes",
                            "process_bytes",
                            "unaccounted_bytes",
                            "predicted_peak_bytes"}) {
      EXPECT_TRUE(record.at("memory").contains(key)) << key;
    }
    for (const char* key : {"mean", "min", "max"}) {
      EXPECT_TRUE(record.at("kept_entries").contains(key)) << key;
    }
  }
}

TEST(JsonReporter, WritesFiguresThatReadBack) {
  const json record = run_document().at("records").at(0);
  const Record expected = measured_record();
  EXPECT_EQ(record.at("ttft").get<double>(), *expected.ttft);
  EXPECT_EQ(record.at("perplexity").get<double>(), *expected.perplexity);
  EXPECT_EQ(record.at("eval_tokens"), expected.eval_tokens);
  EXPECT_EQ(record.at("seed"), 7);
  EXPECT_EQ(record.at("peak_memory_gb"), 1.5);
  EXPECT_TRUE(record.at("peak_vram_gb").is_null());
  EXPECT_EQ(record.at("memory").at("kv_bytes"), 2);
  EXPECT_EQ(record.at("memory").at("unaccounted_bytes"), -7);
  EXPECT_EQ(record.at("memory").at("predicted_peak_bytes"), 1610612735);
  EXPECT_EQ(record.at("samples").at(0).at("nll_sum"), 6800.5);
  EXPECT_EQ(record.at("samples").at(0).at("peak_bytes"), 99);
  EXPECT_EQ(record.at("status"), "ok");
  EXPECT_TRUE(record.at("error").is_null());
}

TEST(JsonReporter, WritesWhatIsKeptAndHeld) {
  const json record = run_document().at("records").at(0);
  EXPECT_EQ(record.at("budget_requested"), "256");
  EXPECT_EQ(record.at("kept_entries"), (json{{"mean", 250.5}, {"min", 248}, {"max", 255}}));
  EXPECT_EQ(record.at("kept_fraction"), 0.125);
  EXPECT_EQ(record.at("bits_per_element"), 5.25);
  EXPECT_EQ(record.at("kv_bytes"), 2);
  EXPECT_EQ(record.at("kv_bytes_read_per_step"), 4096);
}

TEST(JsonReporter, WritesWhatSetsARowAgainstTheBaseline) {
  const json records = run_document().at("records");
  const json& record = records.at(0);
  EXPECT_EQ(record.at("delta_nll"), 0.0703125);
  EXPECT_EQ(record.at("delta_nll_stderr"), 0.001953125);
  EXPECT_EQ(record.at("kl_mean"), 0.09375);
  EXPECT_EQ(record.at("kl_p99"), 1.125);
  EXPECT_EQ(record.at("top1_agreement"), 0.875);
  EXPECT_TRUE(records.at(1).at("kl_mean").is_null());
}

TEST(JsonReporter, WritesPerplexityByPosition) {
  const json records = run_document().at("records");
  EXPECT_EQ(records.at(0).at("bits_per_byte"), 1.625);
  EXPECT_EQ(records.at(0).at("nll_by_position"),
            (json{{{"from", 1}, {"to", 1000}, {"nll", 3.5}},
                  {{"from", 1000}, {"to", 2000}, {"nll", 3.25}}}));
  EXPECT_EQ(records.at(1).at("nll_by_position"), json::array());
}

TEST(JsonReporter, WritesTheLimitInTheRow) {
  const json records = run_document().at("records");
  const json& record = records.at(0);
  EXPECT_EQ(record.at("calibration"),
            (json{{"read_gbps", 55.5},
                  {"copy_gbps", 44.5},
                  {"gemm_tflops", 0.125},
                  {"kernel_us", 0.75},
                  {"h2d_gbps", nullptr}}));
  EXPECT_EQ(record.at("bytes_per_step"), 16777216);
  EXPECT_EQ(record.at("flops_prefill"), 2e12);
  EXPECT_EQ(record.at("bound_tpot"), 0.0005);
  EXPECT_EQ(record.at("bound_ttft"), 0.0006);
  EXPECT_EQ(record.at("fraction_of_bound_tpot"), 0.40625);
  EXPECT_EQ(record.at("fraction_of_bound_ttft"), 0.46875);
  EXPECT_EQ(record.at("compression_speedup_bound"), 1.75);
  EXPECT_EQ(record.at("spread"), 0.0625);
  EXPECT_EQ(record.at("noisy"), true);
  EXPECT_TRUE(record.at("throttled").is_null()) << "unknown on the cpu";
  EXPECT_TRUE(record.at("throttle_reasons").is_null());
  EXPECT_TRUE(record.at("launch_bound").is_null());
  EXPECT_EQ(record.at("samples").at(0).at("step_times"), (json{0.0015, 0.0025}));
  EXPECT_TRUE(records.at(1).at("calibration").at("read_gbps").is_null());
}

TEST(JsonReporter, GivesAFailedRowItsErrorAndNoFigures) {
  const json record = run_document().at("records").at(1);
  EXPECT_EQ(record.at("status"), "failed");
  EXPECT_EQ(record.at("error"), "it said \"no\", twice");
  EXPECT_TRUE(record.at("ttft").is_null());
  EXPECT_TRUE(record.at("memory").at("kv_bytes").is_null());
  EXPECT_TRUE(record.at("kept_entries").at("mean").is_null());
  EXPECT_TRUE(record.at("kv_bytes").is_null());
  EXPECT_TRUE(record.at("samples").empty());
}

TEST(JsonRecord, HasNoBudgetWhereNoneWasAskedFor) {
  EXPECT_TRUE(to_json(unscored_record()).at("budget_requested").is_null());
}

TEST(JsonRecord, GivesVramOnCudaAlone) {
  Record record = measured_record();
  record.on_cuda = true;
  EXPECT_EQ(to_json(record).at("peak_vram_gb"), 1.5);
}

TEST(JsonRecord, NeverHoldsWhatIsNoNumber) {
  Record record = measured_record();
  record.ttft = std::numeric_limits<double>::quiet_NaN();
  record.tpot = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(to_json(record).at("ttft").is_null());
  EXPECT_TRUE(to_json(record).at("tpot").is_null());
}

TEST(JsonEnvironment, HoldsWhereTheRecordsComeFrom) {
  const auto environment = run_document().at("environment");
  EXPECT_EQ(environment.at("command"), "kvgauge run");
  EXPECT_EQ(environment.at("weights").at("sha256"), "00ff");
  EXPECT_EQ(environment.at("texts").at(0).at("name"), "persuasion");
  EXPECT_TRUE(environment.at("gpu").is_null());
  EXPECT_TRUE(environment.at("clocks").is_null());
  EXPECT_FALSE(environment.at("commit").get<std::string>().empty());
  EXPECT_FALSE(environment.at("compiler").get<std::string>().empty());
}

TEST(JsonlReporter, AppendsALineARecordTheMomentItComes) {
  std::vector<json> lines;
  const auto reporter =
      make_jsonl_reporter([&lines](const nlohmann::ordered_json& line) { lines.push_back(line); });
  reporter->begin_run(fixed_environment());
  EXPECT_TRUE(lines.empty());
  reporter->add(measured_record());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].at("schema"), "kvgauge.record/1");
  EXPECT_EQ(lines[0].at("method"), "streaming_256");
  EXPECT_EQ(lines[0].at("environment").at("time_utc"), "2026-11-21T09:30:00Z");
  reporter->add(failed_record());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].at("status"), "failed");
}

TEST(JsonReporter, HoldsWhatAnEarlierRunLeft) {
  std::string document;
  const auto reporter = make_json_reporter([&document](std::string_view text) { document = text; });
  std::vector<nlohmann::ordered_json> lines;
  const auto keep =
      make_jsonl_reporter([&lines](const nlohmann::ordered_json& line) { lines.push_back(line); });
  Environment other = fixed_environment();
  other.weights = {.name = "tiny-neox", .sha256 = "11ff"};
  keep->begin_run(other);
  keep->add(measured_record());
  reporter->recall(lines);
  json whole = json::parse(document);
  ASSERT_EQ(whole.at("records").size(), 1U);
  EXPECT_FALSE(whole.at("records").at(0).contains("schema"));
  EXPECT_EQ(whole.at("environment").at("weights").at("name"), "tiny-neox");
  reporter->begin_run(fixed_environment());
  reporter->add(failed_record());
  whole = json::parse(document);
  ASSERT_EQ(whole.at("records").size(), 2U);
  EXPECT_EQ(whole.at("records").at(0), json(to_json(measured_record())));
  EXPECT_TRUE(whole.at("environment").at("weights").is_null()) << "records name their own";
  EXPECT_EQ(whole.at("environment").at("texts").size(), 1U);
}

TEST(Json, KeepsACommandAsAShellReadsIt) {
  Environment environment = fixed_environment();
  environment.command = {"kvgauge", "run", "--dataset", "my book's.txt", ""};
  EXPECT_EQ(to_json(environment).at("command"), "kvgauge run --dataset 'my book'\\''s.txt' ''");
}

}  // namespace
}  // namespace kvg::harness
