// The gate's rules over records written by hand.

#include "harness/compare.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using nlohmann::json;
using testing_support::expect_throw;

json record(const std::string& policy) {
  return {{"method", policy},
          {"policy", policy},
          {"model", "tiny-llama"},
          {"dataset", "persuasion"},
          {"protocol", "split"},
          {"device", "cpu"},
          {"dtype", "f32"},
          {"batch", 1},
          {"seed", 0},
          {"tpot", 0.100},
          {"perplexity", 20.0},
          {"perplexity_stderr", 0.5},
          {"accuracy", 0.40},
          {"eval_tokens", 2400},
          {"peak_vram_gb", nullptr},
          {"peak_memory_gb", 2.0},
          {"status", "ok"},
          {"error", nullptr},
          {"weights_sha256", "aa"},
          {"settings", {{"max_tokens", 2000}, {"prefill", nullptr}}}};
}

json run_of(std::vector<json> records) {
  return {{"schema", "kvgauge.run/1"}, {"environment", json::object()}, {"records", records}};
}

Comparison compare_runs(const json& before,
                        const json& after,
                        const CompareLimits& limits = {},
                        const std::vector<std::string>& only = {}) {
  return compare({before, "old.json"}, {after, "new.json"}, limits, only);
}

// The baseline's row against itself with one field changed.
ComparedRow change_one(const std::string& key, const json& value, const json& before = {}) {
  const json old_row = before.is_null() ? record("baseline") : before;
  json new_row = old_row;
  new_row[key] = value;
  return compare_runs(run_of({old_row}), run_of({new_row})).rows.at(0);
}

ComparedFigure figure(const ComparedRow& row, std::string_view key) {
  const auto found = std::ranges::find(row.figures, key, &ComparedFigure::key);
  EXPECT_NE(found, row.figures.end()) << key;
  return *found;
}

std::string notes(const ComparedRow& row) {
  std::string all;
  for (const std::string& note : row.notes) {
    all += note + "\n";
  }
  return all;
}

TEST(Compare, ARunHoldsAgainstItself) {
  const json run = run_of({record("baseline"), record("int4")});
  const Comparison result =
      compare_runs(run, run, {.perplexity = 0, .memory = 0, .tpot = 0, .accuracy = 0});
  EXPECT_FALSE(result.regressed);
  ASSERT_EQ(result.rows.size(), 2U);
  for (const ComparedRow& row : result.rows) {
    ASSERT_EQ(row.figures.size(), 4U);
    EXPECT_TRUE(row.notes.empty());
    for (const ComparedFigure& each : row.figures) {
      EXPECT_EQ(each.verdict, Verdict::kHolds) << each.key;
      EXPECT_EQ(each.change, 0.0) << each.key;
    }
  }
}

// 20 x 1.005 = 20.1, 2 GB x 1.01 = 2.02, 0.40 - 0.01 = 0.39: what reaches a limit holds.
TEST(Compare, AChangeUpToItsLimitHolds) {
  EXPECT_FALSE(change_one("perplexity", 20.1).regressed);
  EXPECT_FALSE(change_one("peak_memory_gb", 2.02).regressed);
  EXPECT_FALSE(change_one("accuracy", 0.39).regressed);
  EXPECT_FALSE(change_one("tpot", 0.110).regressed);
}

TEST(Compare, AChangeBeyondItsLimitIsARegression) {
  EXPECT_EQ(figure(change_one("perplexity", 20.101), "perplexity").verdict, Verdict::kRegressed);
  EXPECT_EQ(figure(change_one("peak_memory_gb", 2.021), "peak_memory_gb").verdict,
            Verdict::kRegressed);
  EXPECT_EQ(figure(change_one("accuracy", 0.3899), "accuracy").verdict, Verdict::kRegressed);
  EXPECT_EQ(figure(change_one("tpot", 0.1101), "tpot").verdict, Verdict::kRegressed);
  EXPECT_TRUE(change_one("perplexity", 20.101).regressed);
}

TEST(Compare, ALimitOfNothingAllowsNoGrowth) {
  const CompareLimits exact{.perplexity = 0, .memory = 0, .tpot = 1, .accuracy = 0};
  json worse = record("baseline");
  worse["perplexity"] = 20.000000000000004;  // the next double
  EXPECT_TRUE(compare_runs(run_of({record("baseline")}), run_of({worse}), exact).regressed);
  worse = record("baseline");
  worse["peak_memory_gb"] = 2.000000000000001;
  EXPECT_TRUE(compare_runs(run_of({record("baseline")}), run_of({worse}), exact).regressed);
}

TEST(Compare, BetterFiguresHold) {
  EXPECT_FALSE(change_one("perplexity", 10.0).regressed);
  EXPECT_FALSE(change_one("peak_memory_gb", 1.0).regressed);
  EXPECT_FALSE(change_one("accuracy", 0.9).regressed);
  EXPECT_FALSE(change_one("tpot", 0.01).regressed);
}

// Noise of the difference: 1.96 sqrt(0.5^2 + 0.5^2) = 1.386.
TEST(Compare, NoiseAnnotatesPerplexityButDoesNotExcuseIt) {
  const ComparedFigure inside = figure(change_one("perplexity", 21.38), "perplexity");
  EXPECT_NEAR(*inside.noise, 1.385929, 1e-6) << "six digits by hand";
  EXPECT_EQ(inside.beyond_noise, false);
  EXPECT_EQ(inside.verdict, Verdict::kRegressed);
  EXPECT_EQ(figure(change_one("perplexity", 21.39), "perplexity").beyond_noise, true);
}

// Of 2400 tokens at 0.4: sqrt(0.24 / 2400) = 0.01; of the difference with 0.36: sqrt(0.0001 +
// 0.000096) x 1.96 = 0.02744.
TEST(Compare, NoiseAnnotatesAccuracyButDoesNotExcuseIt) {
  const ComparedFigure inside = figure(change_one("accuracy", 0.36), "accuracy");
  EXPECT_NEAR(*inside.noise, 0.02744, 1e-6) << "six digits by hand";
  EXPECT_EQ(inside.beyond_noise, true);
  EXPECT_EQ(inside.verdict, Verdict::kRegressed);
  const ComparedFigure within = figure(change_one("accuracy", 0.38), "accuracy");
  EXPECT_EQ(within.beyond_noise, false);
  EXPECT_EQ(within.verdict, Verdict::kRegressed);
  json asked = record("baseline");
  asked["protocol"] = "task";  // whose tokens are no answers
  EXPECT_FALSE(figure(change_one("accuracy", 0.2, asked), "accuracy").noise);
}

TEST(Compare, MemoryHasNoNoise) {
  const ComparedFigure memory = figure(change_one("peak_memory_gb", 2.001), "peak_memory_gb");
  EXPECT_EQ(memory.beyond_noise, true);
  EXPECT_EQ(memory.verdict, Verdict::kHolds);
}

TEST(Compare, ATimeInsideTheSpreadOfSamplesIsExcused) {
  json row = record("baseline");
  row["spread"] = 0.3;  // of 0.1 s: 0.03 s
  row["itl_p50"] = 0.1;
  row["itl_p90"] = 0.1;  // not asked where samples tell
  EXPECT_EQ(figure(change_one("tpot", 0.125, row), "tpot").verdict, Verdict::kExcused);
  EXPECT_FALSE(change_one("tpot", 0.125, row).regressed);
  row["spread"] = 0.1;
  EXPECT_EQ(figure(change_one("tpot", 0.125, row), "tpot").verdict, Verdict::kRegressed);
}

TEST(Compare, ATimeInsideTheSpreadOfStepsIsExcused) {
  json row = record("baseline");
  row["spread"] = nullptr;
  row["itl_p50"] = 0.09;
  row["itl_p90"] = 0.13;
  EXPECT_EQ(figure(change_one("tpot", 0.139, row), "tpot").verdict, Verdict::kExcused);
  EXPECT_EQ(figure(change_one("tpot", 0.141, row), "tpot").verdict, Verdict::kRegressed);
}

TEST(Compare, EitherRunsSpreadExcusesATime) {
  json noisy = record("baseline");
  noisy["tpot"] = 0.2;
  noisy["spread"] = 0.6;
  EXPECT_FALSE(compare_runs(run_of({record("baseline")}), run_of({noisy})).regressed);
}

TEST(Compare, ARowThatVanishedIsARegression) {
  const Comparison result =
      compare_runs(run_of({record("baseline"), record("int4")}), run_of({record("baseline")}));
  EXPECT_TRUE(result.regressed);
  EXPECT_FALSE(result.rows.at(0).regressed);
  EXPECT_TRUE(result.rows.at(1).regressed);
  EXPECT_EQ(result.rows.at(1).method, "int4");
  EXPECT_NE(notes(result.rows.at(1)).find("vanished"), std::string::npos);
}

TEST(Compare, ARowThatIsNewIsNamedAlone) {
  const Comparison result =
      compare_runs(run_of({record("baseline")}), run_of({record("int4"), record("baseline")}));
  EXPECT_FALSE(result.regressed);
  ASSERT_EQ(result.rows.size(), 2U);
  EXPECT_EQ(result.rows.at(1).method, "int4");
  EXPECT_NE(notes(result.rows.at(1)).find("it is new"), std::string::npos);
}

TEST(Compare, RowsThatFailAreRegressions) {
  json failed = record("baseline");
  failed["status"] = "failed";
  failed["error"] = "out of memory";
  failed["perplexity"] = nullptr;
  const json good = run_of({record("baseline"), record("int4")});
  const json bad = run_of({failed, record("int4")});
  const Comparison result = compare_runs(good, bad);
  EXPECT_TRUE(result.regressed);
  EXPECT_NE(notes(result.rows.at(0)).find("out of memory"), std::string::npos);
  EXPECT_FALSE(compare_runs(bad, good).regressed);
  EXPECT_NE(notes(compare_runs(bad, good).rows.at(0)).find("nothing to hold to"),
            std::string::npos);
  EXPECT_FALSE(compare_runs(bad, bad).regressed);
}

TEST(Compare, AFigureThatIsGoneIsARegression) {
  const ComparedRow row = change_one("perplexity", nullptr);
  EXPECT_TRUE(row.regressed);
  EXPECT_NE(notes(row).find("perplexity is gone"), std::string::npos);
  json without = record("baseline");
  without["perplexity"] = nullptr;
  EXPECT_EQ(figure(change_one("perplexity", 30.0, without), "perplexity").verdict,
            Verdict::kUnjudged);
}

TEST(Compare, NamesChangedSettingsAndComparesAllTheSame) {
  const ComparedRow batch = change_one("batch", 4);
  EXPECT_EQ(notes(batch), "its settings changed: batch 1 -> 4\n");
  EXPECT_EQ(batch.figures.size(), 4U);
  EXPECT_FALSE(batch.regressed);
  EXPECT_EQ(notes(change_one("dtype", "bf16")),
            "its settings changed: dtype \"f32\" -> \"bf16\"\n");
  EXPECT_EQ(notes(change_one("settings", {{"max_tokens", 600}, {"other", 1}})),
            "its settings changed: max_tokens 2000 -> 600\n");
}

TEST(Compare, NamesOtherWeights) {
  EXPECT_EQ(notes(change_one("weights_sha256", "bb")), "it comes from other weights: aa -> bb\n");
}

TEST(Compare, TakesTheWeightsOfTheEnvironmentWhereRecordsHaveNone) {
  json row = record("baseline");
  row.erase("weights_sha256");
  json before = run_of({row});
  before["environment"] = {{"weights", {{"name", "tiny-llama"}, {"sha256", "aa"}}}};
  json after = before;
  after["environment"]["weights"]["sha256"] = "cc";
  EXPECT_EQ(notes(compare_runs(before, after).rows.at(0)),
            "it comes from other weights: aa -> cc\n");
}

TEST(Compare, PairsByTheKindOfDevice) {
  json first = record("baseline");
  first["device"] = "cuda:0";
  first["peak_vram_gb"] = 3.0;
  json second = first;
  second["device"] = "cuda:1";
  EXPECT_FALSE(compare_runs(run_of({first}), run_of({second})).regressed);
  EXPECT_TRUE(compare_runs(run_of({first}), run_of({record("baseline")})).regressed);
}

TEST(Compare, PairsRowsOfTheSameSettingsFirst) {
  json small = record("baseline");
  json large = record("baseline");
  large["batch"] = 8;
  large["perplexity"] = 40.0;
  const Comparison result = compare_runs(run_of({small, large}), run_of({large, small}));
  EXPECT_FALSE(result.regressed);
  EXPECT_TRUE(result.rows.at(0).notes.empty());
  EXPECT_TRUE(result.rows.at(1).notes.empty());
}

TEST(Compare, APeakOfZeroOnCudaIsTheVramZeroBug) {
  json good = record("baseline");
  good["device"] = "cuda:0";
  good["peak_vram_gb"] = 3.0;
  const ComparedRow row = change_one("peak_vram_gb", 0.0, good);
  EXPECT_TRUE(row.regressed);
  EXPECT_NE(notes(row).find("VRAM-zero bug"), std::string::npos);
  json zero = good;
  zero["peak_vram_gb"] = 0;
  const ComparedRow repaired = change_one("peak_vram_gb", 3.0, zero);
  EXPECT_FALSE(repaired.regressed);
  EXPECT_NE(notes(repaired).find("the old row has peak_vram_gb 0"), std::string::npos);
  EXPECT_TRUE(change_one("peak_vram_gb", 0.0, zero).regressed);
}

TEST(Compare, OnlyKeepsOneMethod) {
  json worse = record("int4");
  worse["perplexity"] = 90.0;
  const json before = run_of({record("baseline"), record("int4")});
  const json after = run_of({record("baseline"), worse});
  EXPECT_FALSE(compare_runs(before, after, {}, {"baseline"}).regressed);
  EXPECT_TRUE(compare_runs(before, after, {}, {"int4"}).regressed);
  expect_throw<InvalidArgument>(
      [&] { static_cast<void>(compare_runs(before, after, {}, {"h2o"})); },
      "old.json has no row of h2o; known: baseline, int4");
}

TEST(Compare, RefusesRunsWithNothingToHoldTo) {
  const auto refuse = [](const json& before) {
    expect_throw<InvalidArgument>(
        [&] { static_cast<void>(compare_runs(before, run_of({record("baseline")}))); },
        "no measured row");
  };
  refuse(run_of({}));
  json failed = record("baseline");
  failed["status"] = "failed";
  refuse(run_of({failed}));
}

TEST(Compare, RefusesRecordsThatCannotBe) {
  const auto refuse = [](const char* key, const json& value, const char* part) {
    json bad = record("baseline");
    bad[key] = value;
    expect_throw<DataError>(
        [&] {
          static_cast<void>(
              compare_runs(run_of({record("baseline")}), run_of({record("int4"), bad})));
        },
        part);
  };
  refuse("perplexity", "20", "new.json, record 2: perplexity is no number");
  refuse("perplexity", -1.0, "perplexity is no number of at least 0");
  refuse("accuracy", 1.5, "accuracy is no number of at least 0 and at most 1");
  refuse("tpot", json::array(), "tpot is no number");
  refuse("policy", nullptr, "it has no policy");
  refuse("model", 7, "model is no text");
  refuse("device", "", "it has no device");
  refuse("status", "maybe", "status is neither ok nor failed");
  refuse("settings", 3, "settings are no object");
}

TEST(ParseLimit, ReadsSharesAndRefusesTheRest) {
  EXPECT_EQ(parse_limit("--max-ppl", "+0.5%", "%"), 0.005);
  EXPECT_EQ(parse_limit("--max-ppl", "0%", "%"), 0.0);
  EXPECT_EQ(parse_limit("--max-tpot", "25%", "%"), 0.25);
  EXPECT_EQ(parse_limit("--min-acc", "-1pt", "pt"), -0.01);
  for (const char* bad : {"", "%", "+%", "0.5", "0.5pt", "nan%", "inf%", "1e999%", "1 %", "one%"}) {
    expect_throw<InvalidArgument>([&] { static_cast<void>(parse_limit("--max-ppl", bad, "%")); },
                                  "is not understood; allowed: a number with %, such as +0.5%");
  }
}

Comparison printed_comparison() {
  json worse = record("int4");
  worse["perplexity"] = 22.0;
  json odd = record("a|b\x1b");
  return compare_runs(run_of({record("baseline"), record("int4"), odd, record("gone")}),
                      run_of({record("baseline"), worse, odd}));
}

TEST(PrintComparison, TablesShowEveryFigureAndNote) {
  std::ostringstream out;
  print_table(printed_comparison(), out);
  const std::string text = out.str();
  EXPECT_TRUE(text.starts_with("tiny-llama | persuasion | split | cpu\nMethod    Figure  "))
      << text;
  EXPECT_NE(text.find("int4      perplexity       20.00   22.00   +10 %  +0.5 %           yes  "
                      "regressed\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("baseline  peak_memory_gb   2.000   2.000    +0 %    +1 %            no  "
                      "holds\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\ngone: it vanished: the new run has no such row\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with("\nregressed: 2 of 4 rows\n")) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "names must not steer a terminal";
}

TEST(PrintComparison, MarkdownKeepsCellsWhole) {
  std::ostringstream out;
  print_markdown(printed_comparison(), out);
  EXPECT_NE(out.str().find("\n| a&#124;b  | accuracy | 0.4000 | 0.4000 | +0 pt | -1 pt | no | "
                           "holds |\n"),
            std::string::npos)
      << out.str();
  EXPECT_NE(out.str().find("\n- gone: it vanished"), std::string::npos) << out.str();
}

TEST(PrintComparison, JsonHoldsEveryFigure) {
  std::ostringstream out;
  print_json(printed_comparison(), out);
  const json document = json::parse(out.str());
  EXPECT_EQ(document.at("verdict"), "regressed");
  const json& row = document.at("rows").at(1);
  EXPECT_EQ(row.at("regressed"), true);
  EXPECT_EQ(row.at("figures").at(0).at("figure"), "perplexity");
  EXPECT_EQ(row.at("figures").at(0).at("old"), 20.0);
  EXPECT_EQ(row.at("figures").at(0).at("new"), 22.0);
  EXPECT_NEAR(row.at("figures").at(0).at("change").get<double>(), 0.1, 1e-15) << "one rounding";
  EXPECT_EQ(row.at("figures").at(0).at("limit"), 0.005);
  EXPECT_EQ(row.at("figures").at(0).at("beyond_noise"), true);
  EXPECT_EQ(row.at("figures").at(0).at("verdict"), "regressed");
}

}  // namespace
}  // namespace kvg::harness
