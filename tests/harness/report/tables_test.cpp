#include <gtest/gtest.h>

#include "tests/harness/report/fixed_runs.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

std::size_t column_of(const RunTable& table, const std::string& key) {
  const auto found = std::ranges::find(table.columns, key, &TableColumn::key);
  EXPECT_NE(found, table.columns.end()) << key;
  return static_cast<std::size_t>(found - table.columns.begin());
}

const Cell& cell_at(const RunTable& table, std::size_t row, const std::string& key) {
  return table.rows.at(row).cells.at(column_of(table, key));
}

TEST(TablesOf, GroupsRowsThatDifferInPolicyAlone) {
  Record other = row_of("window_8", 30.0, 1.0, 0.1);
  other.model = "tiny-neox";
  const Json run = run_of({row_of("a", 1, 1, 1), other, row_of("b", 2, 1, 1)});
  const auto tables = tables_of(run);
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[0].name, "tiny-llama, persuasion, stream, cpu, f32");
  ASSERT_EQ(tables[0].rows.size(), 2U);
  EXPECT_EQ(tables[0].rows[1].method, "b");
  EXPECT_EQ(tables[1].name, "tiny-neox, persuasion, stream, cpu, f32");
}

TEST(TablesOf, ShowsFiguresAsTheConsoleDoes) {
  const Json run = run_of({measured_record(), failed_record()});
  const RunTable table = tables_of(run).front();
  EXPECT_EQ(cell_at(table, 0, "ttft").text, "0.001235");
  EXPECT_EQ(cell_at(table, 0, "ttft").number, 0.0012345678);
  EXPECT_EQ(cell_at(table, 0, "perplexity").text, "29.12");
  EXPECT_EQ(cell_at(table, 0, "peak_memory_gb").text, "1.500");
  EXPECT_EQ(table.columns.front().heading, "Method");
  EXPECT_EQ(std::ranges::count(table.columns, "peak_vram_gb", &TableColumn::key), 0)
      << "the row is of the cpu";
}

TEST(TablesOf, KeepsFailedRowsWithTheirError) {
  Record failed = measured_record();
  failed.status = Status::kFailed;
  failed.error = "out of memory";
  const Json run = run_of({failed});
  const RunTable table = tables_of(run).front();
  EXPECT_TRUE(table.rows.front().failed);
  EXPECT_EQ(table.rows.front().error, "out of memory");
  EXPECT_TRUE(table.rows.front().cells.empty());
}

TEST(TablesOf, MarksTheBestAsShown) {
  // 20.001 and 20.002 read alike.
  const Json run = run_of(
      {row_of("a", 20.001, 2e9, 0.3), row_of("b", 20.002, 1e9, 0.2), row_of("c", 31, 3e9, 0.2)});
  const RunTable table = tables_of(run).front();
  const auto best = [&](const std::string& key) {
    std::string names;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
      names += cell_at(table, row, key).best ? table.rows[row].method : "";
    }
    return names;
  };
  EXPECT_EQ(best("perplexity"), "ab");
  EXPECT_EQ(best("peak_memory_gb"), "b");
  EXPECT_EQ(best("tpot"), "bc");
  EXPECT_EQ(best("accuracy"), "") << "all alike";
  EXPECT_EQ(best("method"), "");
}

TEST(TablesOf, MarksTheHighestWhereMoreIsBetter) {
  Record fast = row_of("fast", 20, 1, 1);
  fast.throughput = 2000.0;
  const Json run = run_of({row_of("slow", 20, 1, 1), fast});
  const RunTable table = tables_of(run).front();
  EXPECT_FALSE(cell_at(table, 0, "throughput").best);
  EXPECT_TRUE(cell_at(table, 1, "throughput").best);
}

TEST(TablesOf, MarksTheBestOfTheSameSettings) {
  const Json run = run_of({needle_row("a", 500, {1.0}),
                           needle_row("b", 500, {0.5}),
                           needle_row("a", 900, {0.25}),
                           needle_row("b", 900, {0.0})});
  const RunTable table = tables_of(run).front();
  EXPECT_TRUE(cell_at(table, 0, "accuracy").best);
  EXPECT_FALSE(cell_at(table, 1, "accuracy").best);
  EXPECT_TRUE(cell_at(table, 2, "accuracy").best) << "the best at 900 tokens";
  EXPECT_FALSE(cell_at(table, 3, "accuracy").best);
}

TEST(TablesOf, ShowsSettingsThatVary) {
  Record longer = row_of("a", 20, 1, 1);
  longer.settings = {{"prompt_len", std::int64_t{4000}}, {"warmup", std::int64_t{32}}};
  Record shorter = longer;
  shorter.settings = {{"prompt_len", std::int64_t{2000}}, {"warmup", std::int64_t{32}}};
  const Json run = run_of({longer, shorter});
  const RunTable table = tables_of(run).front();
  EXPECT_EQ(table.columns.back().heading, "prompt len");
  EXPECT_EQ(cell_at(table, 1, "settings.prompt_len").text, "2000");
  EXPECT_EQ(cell_at(table, 1, "settings.prompt_len").number, 2000.0);
  EXPECT_EQ(table.rows[0].variant, "prompt len 4000");
}

TEST(TablesOf, ShowsTheComparisonWithABaselineWhereThereIsOne) {
  Record alone = row_of("a", 20, 1, 1);
  alone.delta_nll = {};
  Record compared = alone;
  compared.delta_nll = 0.25;
  const auto columns_named = [](const Json& run) {
    return std::ranges::count(tables_of(run).front().columns, "delta_nll", &TableColumn::key);
  };
  EXPECT_EQ(columns_named(run_of({alone})), 0);
  const Json run = run_of({alone, compared});
  EXPECT_EQ(columns_named(run), 1);
  EXPECT_EQ(cell_at(tables_of(run).front(), 0, "delta_nll").text, "-");
  EXPECT_EQ(cell_at(tables_of(run).front(), 1, "delta_nll").text, "0.2500");
}

TEST(TablesOf, LeavesOutWhatAnOlderRunDoesNotHave) {
  Json run = run_of({measured_record()});
  run["records"][0].erase("fraction_of_bound_tpot");
  const RunTable table = tables_of(run).front();
  EXPECT_EQ(std::ranges::count(table.columns, "fraction_of_bound_tpot", &TableColumn::key), 0);
}

// Found by a run of tasks: a whole number has no digits to show.
TEST(TablesOf, ShowsWholeNumbers) {
  const Json run = run_of({needle_row("a", 500, {1.0})});
  EXPECT_EQ(cell_at(tables_of(run).front(), 0, "context").text, "500");
}

TEST(TablesOf, TakesOtherTypesForNothing) {
  Json run = run_of({needle_row("a", 500, {1.0})});
  Json& record = run["records"][0];
  record["method"] = 7;
  record["ttft"] = "fast";
  record["context"] = 18446744073709551615U;
  record["tpot"] = Json::array({1});
  record["settings"] = Json::array({1});
  record["samples"] = 3;
  const RunTable table = tables_of(run).front();
  for (const char* key : {"method", "ttft", "context", "tpot"}) {
    EXPECT_EQ(cell_at(table, 0, key).text, "-") << key;
    EXPECT_FALSE(cell_at(table, 0, key).known) << key;
  }
}

TEST(TablesOf, HasOnlySoManyColumns) {
  Json run = run_of({row_of("a", 20, 1, 1), row_of("b", 20, 1, 1)});
  const std::size_t before = tables_of(run).front().columns.size();
  for (int i = 0; i < 100; ++i) {
    run["records"][0]["settings"]["key_" + std::to_string(i)] = i;
  }
  EXPECT_EQ(tables_of(run).front().columns.size(), before + kMostSettings);
}

TEST(TablesOf, HasNoTablesWithoutRecords) {
  EXPECT_TRUE(tables_of(run_of({})).empty());
  const Json run = {{"records", Json::array({Json::object()})}};
  const RunTable table = tables_of(run).front();
  EXPECT_EQ(table.name, "-, -, -, -, -");
  EXPECT_TRUE(table.rows.front().failed) << "it does not say that it is ok";
}

}  // namespace
}  // namespace kvg::harness::report
