#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/report/run_tables.h"

namespace kvg::harness::report {

enum class ChartKind {
  kScatter,  ///< points with names, those on the Pareto front joined
  kBars,     ///< stacked, one bar a name; x is the bar's length
  kLines,    ///< one line a series
};

struct Point {
  double x = 0.0;
  double y = 0.0;
  std::string name{};     ///< of what is measured
  bool on_front = false;  ///< no other point of its series is as good in both and better in one
};

struct Series {
  std::string name;
  std::vector<Point> points;
};

struct Chart {
  ChartKind kind = ChartKind::kScatter;
  std::string title;
  std::string note;  ///< how to read it
  std::string x_title;
  std::string y_title;
  bool log_y = false;
  std::vector<Series> series;
};

/// Every chart that the table's records hold figures for.
[[nodiscard]] std::vector<Chart> charts_of(const RunTable& table);

/// Marks the points that no other beats: x is better low, y where `better_low` says.
void mark_front(std::span<Point> points, bool better_low);

}  // namespace kvg::harness::report
