#include "harness/report/charts.h"

#include <gtest/gtest.h>

#include "harness/report/needles.h"
#include "tests/harness/report/fixed_runs.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

constexpr double kGigabyte = 1073741824.0;

std::string front_of(std::vector<Point> points, bool better_low) {
  mark_front(points, better_low);
  std::string names;
  for (const Point& point : points) {
    names += point.on_front ? point.name : "";
  }
  return names;
}

TEST(MarkFront, LeavesThePointsThatNoOtherBeats) {
  // b is worse than a in y at the same x; d is worse than c in x at the same y.
  const std::vector<Point> points{{.x = 1, .y = 9, .name = "a"},
                                  {.x = 1, .y = 10, .name = "b"},
                                  {.x = 2, .y = 4, .name = "c"},
                                  {.x = 3, .y = 4, .name = "d"},
                                  {.x = 4, .y = 1, .name = "e"}};
  EXPECT_EQ(front_of(points, true), "ace");
  EXPECT_EQ(front_of(points, false), "b");
}

TEST(MarkFront, KeepsEqualPoints) {
  EXPECT_EQ(front_of({{.x = 1, .y = 1, .name = "a"}, {.x = 1, .y = 1, .name = "b"}}, true), "ab");
  EXPECT_EQ(front_of({}, true), "");
}

const Chart& chart_named(const std::vector<Chart>& charts, const std::string& title) {
  const auto found = std::ranges::find(charts, title, &Chart::title);
  EXPECT_NE(found, charts.end()) << title;
  return *found;
}

std::vector<Chart> charts_of_run(const Json& run) {
  return charts_of(tables_of(run).front());
}

TEST(ChartsOf, PutsQualityAgainstMemoryAndTime) {
  const Json run =
      run_of({row_of("a", 20, 2 * kGigabyte, 0.004), row_of("b", 30, kGigabyte, 0.002)});
  const auto charts = charts_of_run(run);
  const Chart& memory = chart_named(charts, "Perplexity against peak memory");
  ASSERT_EQ(memory.series.size(), 1U);
  EXPECT_EQ(memory.series[0].points[0].x, 2.0);
  EXPECT_EQ(memory.series[0].points[0].y, 20.0);
  EXPECT_EQ(memory.series[0].points[1].name, "b");
  EXPECT_TRUE(memory.series[0].points[1].on_front);
  const Chart& time = chart_named(charts, "Perplexity against time per output token");
  EXPECT_EQ(time.series[0].points[1].x, 2.0) << "milliseconds";
}

TEST(ChartsOf, HoldsRowsOfOtherSettingsApart) {
  const Json run = run_of({needle_row("a", 500, {1, 1, 1}), needle_row("a", 900, {0, 0, 0})});
  const auto charts = charts_of_run(run);
  const Chart& chart = chart_named(charts, "Accuracy against peak memory");
  ASSERT_EQ(chart.series.size(), 2U);
  EXPECT_EQ(chart.series[1].name, "context 900");
  EXPECT_TRUE(chart.series[1].points[0].on_front) << "nothing else was asked the same";
}

TEST(ChartsOf, DrawsPerplexityByPosition) {
  const Json run = run_of({row_of("a", 20, 1, 1)});
  const auto charts = charts_of_run(run);
  const Chart& chart = chart_named(charts, "Perplexity by position in the text");
  ASSERT_EQ(chart.series[0].points.size(), 2U);
  EXPECT_EQ(chart.series[0].points[0].x, 51.0) << "the middle of 1 to 101";
  EXPECT_EQ(chart.series[0].points[0].y, 1.0) << "exp(0)";
  EXPECT_DOUBLE_EQ(chart.series[0].points[1].y, 2.718281828459045);
}

TEST(ChartsOf, StacksMemoryByClass) {
  const Json run = run_of({row_of("a", 20, 1, 1)});
  const auto charts = charts_of_run(run);
  const Chart& chart = chart_named(charts, "Where the memory goes");
  ASSERT_EQ(chart.series.size(), 5U);
  EXPECT_EQ(chart.x_title, "Memory (MB)");
  EXPECT_EQ(chart.series[1].name, "KV cache");
  EXPECT_EQ(chart.series[1].points[0].x, 2.0 / 1048576.0);
}

TEST(ChartsOf, DrawsTimesByRank) {
  const Json run = run_of({row_of("a", 20, 1, 1)});
  const auto charts = charts_of_run(run);
  const Series& series = chart_named(charts, "Time to the next token").series.front();
  ASSERT_EQ(series.points.size(), 51U);
  EXPECT_EQ(series.points.front().y, 1.0);
  EXPECT_EQ(series.points[25].x, 50.0);
  EXPECT_EQ(series.points[25].y, 3.0);
  EXPECT_EQ(series.points.back().y, 5.0);
  EXPECT_EQ(std::ranges::count(charts, "Time to the first token", &Chart::title), 0)
      << "one sample is no distribution";
}

TEST(ChartsOf, DrawsNothingOfFailedOrEmptyRows) {
  Record failed = row_of("a", 20, 1, 1);
  failed.status = Status::kFailed;
  failed.memory = {};
  failed.nll_by_position.clear();
  failed.samples.clear();
  EXPECT_TRUE(charts_of_run(run_of({failed})).empty());
  EXPECT_TRUE(charts_of_run({{"records", {Json::object()}}}).empty());
}

TEST(NeedleGrids, AveragesByDepthAndLength) {
  Record twice = needle_row("a", 500, {1.0, 0.0, 1.0});
  for (const Sample& sample : needle_row("a", 500, {0.0, 0.0, 1.0}).samples) {
    twice.samples.push_back(sample);
  }
  const Json run = run_of({twice, needle_row("b", 500, {1, 1, 1}), needle_row("a", 900, {0.25})});
  const auto grids = needle_grids(tables_of(run).front());
  ASSERT_EQ(grids.size(), 2U);
  const NeedleGrid& grid = grids.front();
  EXPECT_EQ(grid.name, "a");
  EXPECT_EQ(grid.depths, (std::vector<int>{0, 50, 100}));
  EXPECT_EQ(grid.contexts, (std::vector<std::int64_t>{500, 900}));
  EXPECT_EQ(grid.cells[0][0].score_sum, 1.0);
  EXPECT_EQ(grid.cells[0][0].answers, 2);
  EXPECT_EQ(grid.cells[0][1].score_sum, 0.25);
  EXPECT_EQ(grid.cells[2][1].answers, 0) << "nothing was asked there";
}

TEST(NeedleGrids, TakesNoDepthBeyondTheText) {
  Json run = run_of({needle_row("a", 500, {1.0, 1.0})});
  run["records"][0]["samples"][0]["depth"] = 1e300;
  run["records"][0]["samples"][1]["depth"] = -1;
  EXPECT_TRUE(needle_grids(tables_of(run).front()).empty());
  run["records"][0]["samples"][0]["depth"] = 0;
  EXPECT_EQ(needle_grids(tables_of(run).front()).size(), 1U);
  run["records"][0]["context"] = 1e300;
  EXPECT_TRUE(needle_grids(tables_of(run).front()).empty());
}

TEST(Misses, ShowsTheBeginningOfWrongAnswers) {
  Record record = needle_row("a", 500, {1.0, 0.0, 0.5});
  // 201 bytes: a character of two bytes stands across the cut.
  record.samples[1].answer->text = std::string(199, 'x') + "\u00e9";
  const Json run = run_of({record});
  const auto all = misses(tables_of(run).front(), 9);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].text, std::string(199, 'x') + "...");
  EXPECT_EQ(all[0].depth, "50 %");
  EXPECT_EQ(misses(tables_of(run).front(), 1).size(), 1U);
}

}  // namespace
}  // namespace kvg::harness::report
