#include "harness/report/charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

constexpr double kMilliseconds = 1e3;
constexpr double kMegabyte = 1024.0 * 1024.0;
constexpr double kGigabyte = 1024.0 * kMegabyte;

// Percentiles of a distribution: enough that a curve of them is smooth on a screen.
constexpr int kPercentStep = 2;

// Below that many values there is no distribution to draw.
constexpr std::size_t kFewestValues = 5;

std::string name_of(const TableRow& row) {
  return row.method + (row.variant.empty() ? "" : ", " + row.variant);
}

// What a point is good at, upwards or downwards.
struct Quality {
  const char* key = nullptr;
  const char* title = nullptr;
  bool better_low = false;
};

constexpr std::array kQualities{Quality{"perplexity", "Perplexity", true},
                                Quality{"accuracy", "Accuracy", false}};

// The first of them that some row has: a task has no perplexity.
const Quality* quality_of(const RunTable& table) {
  for (const Quality& quality : kQualities) {
    if (std::ranges::any_of(table.rows, [&](const TableRow& row) {
          return number_member(*row.record, quality.key).has_value();
        })) {
      return &quality;
    }
  }
  return nullptr;
}

Series& series_named(std::vector<Series>& all, const std::string& name) {
  const auto found =
      std::ranges::find_if(all, [&](const Series& series) { return series.name == name; });
  if (found != all.end()) {
    return *found;
  }
  return all.emplace_back(Series{.name = name, .points = {}});
}

struct Cost {
  const char* key = nullptr;
  double scale = 1.0;
  const char* title = nullptr;
  const char* axis = nullptr;
};

// Rows of other settings are other questions: each has a series, and a front, of its own.
Chart quality_against(const RunTable& table, const Cost& cost) {
  const Quality* const quality = quality_of(table);
  if (quality == nullptr) {
    return {};
  }
  Chart chart{.kind = ChartKind::kScatter,
              .title = std::string(quality->title) + " against " + cost.title,
              .note = std::string("Left and ") + (quality->better_low ? "low" : "high") +
                      " is better; the line joins the policies that no other beats in both.",
              .x_title = cost.axis,
              .y_title = quality->title,
              .series = {}};
  for (const TableRow& row : table.rows) {
    const auto x = number_member(*row.record, cost.key);
    const auto y = number_member(*row.record, quality->key);
    if (x && y && !row.failed) {
      series_named(chart.series, row.variant)
          .points.push_back({.x = *x * cost.scale, .y = *y, .name = row.method});
    }
  }
  for (Series& series : chart.series) {
    mark_front(series.points, quality->better_low);
  }
  return chart;
}

Chart quality_against_memory(const RunTable& table) {
  return quality_against(
      table, {.key = "peak_memory_gb", .title = "peak memory", .axis = "Peak memory (GB)"});
}

Chart quality_against_tpot(const RunTable& table) {
  return quality_against(table,
                         {.key = "tpot",
                          .scale = kMilliseconds,
                          .title = "time per output token",
                          .axis = "Time per output token (ms)"});
}

Chart perplexity_by_position(const RunTable& table) {
  Chart chart{.kind = ChartKind::kLines,
              .title = "Perplexity by position in the text",
              .note = "Each point is a stretch of positions, all samples pooled.",
              .x_title = "Position (tokens)",
              .y_title = "Perplexity",
              .series = {}};
  for (const TableRow& row : table.rows) {
    Series series{.name = name_of(row), .points = {}};
    for (const Json& bin : array_member(*row.record, "nll_by_position")) {
      const auto from = number_member(bin, "from");
      const auto to = number_member(bin, "to");
      const auto nll = number_member(bin, "nll");
      if (from && to && nll && std::isfinite(std::exp(*nll))) {
        series.points.push_back({.x = (*from + *to) / 2.0, .y = std::exp(*nll)});
      }
    }
    if (!series.points.empty()) {
      chart.series.push_back(std::move(series));
    }
  }
  return chart;
}

struct MemoryClass {
  const char* key = nullptr;
  const char* name = nullptr;
};

constexpr std::array kMemoryClasses{MemoryClass{"memory.weights_bytes", "weights"},
                                    MemoryClass{"memory.kv_bytes", "KV cache"},
                                    MemoryClass{"memory.activations_bytes", "activations"},
                                    MemoryClass{"memory.workspace_bytes", "workspace"},
                                    MemoryClass{"memory.observations_bytes", "observations"}};

double largest_memory(const RunTable& table) {
  double largest = 0.0;
  for (const TableRow& row : table.rows) {
    for (const MemoryClass& each : kMemoryClasses) {
      largest = std::max(largest, number_member(*row.record, each.key).value_or(0.0));
    }
  }
  return largest;
}

Chart memory_by_class(const RunTable& table) {
  const double largest = largest_memory(table);
  const bool in_gigabytes = largest >= kGigabyte;
  Chart chart{.kind = ChartKind::kBars,
              .title = "Where the memory goes",
              .note = "Bytes at their peak; a click on a name takes it away.",
              .x_title = in_gigabytes ? "Memory (GB)" : "Memory (MB)",
              .y_title = {},
              .series = {}};
  if (largest <= 0.0) {
    return chart;
  }
  for (const MemoryClass& each : kMemoryClasses) {
    Series series{.name = each.name, .points = {}};
    for (const TableRow& row : table.rows) {
      if (!row.failed) {
        series.points.push_back({.x = number_member(*row.record, each.key).value_or(0.0) /
                                      (in_gigabytes ? kGigabyte : kMegabyte),
                                 .name = name_of(row)});
      }
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

std::vector<double> step_times(const Json& record) {
  std::vector<double> times;
  for (const Json& sample : array_member(record, "samples")) {
    for (const Json& time : array_member(sample, "step_times")) {
      if (time.is_number()) {
        times.push_back(time.get<double>());
      }
    }
  }
  return times;
}

std::vector<double> first_times(const Json& record) {
  std::vector<double> times;
  for (const Json& sample : array_member(record, "samples")) {
    if (const auto time = number_member(sample, "ttft")) {
      times.push_back(*time);
    }
  }
  return times;
}

std::vector<Series> distributions(const RunTable& table,
                                  std::vector<double> (*times_of)(const Json&)) {
  std::vector<Series> all;
  for (const TableRow& row : table.rows) {
    std::vector<double> times = times_of(*row.record);
    if (times.size() < kFewestValues) {
      continue;
    }
    std::ranges::sort(times);
    Series series{.name = name_of(row), .points = {}};
    for (int percent = 0; percent <= 100; percent += kPercentStep) {
      const std::size_t place = (times.size() - 1) * static_cast<std::size_t>(percent) / 100;
      series.points.push_back(
          {.x = static_cast<double>(percent), .y = times[place] * kMilliseconds});
    }
    all.push_back(std::move(series));
  }
  return all;
}

constexpr const char* kDistributionNote =
    "At 50 % half of them are below the line, at 100 % lies the slowest.";

Chart time_to_next_token(const RunTable& table) {
  return {.kind = ChartKind::kLines,
          .title = "Time to the next token",
          .note = kDistributionNote,
          .x_title = "Share of the steps (%)",
          .y_title = "Time (ms)",
          .log_y = true,
          .series = distributions(table, step_times)};
}

Chart time_to_first_token(const RunTable& table) {
  return {.kind = ChartKind::kLines,
          .title = "Time to the first token",
          .note = kDistributionNote,
          .x_title = "Share of the samples (%)",
          .y_title = "Time (ms)",
          .log_y = true,
          .series = distributions(table, first_times)};
}

constexpr std::array kCharts{quality_against_memory,
                             quality_against_tpot,
                             perplexity_by_position,
                             memory_by_class,
                             time_to_next_token,
                             time_to_first_token};

}  // namespace

std::vector<Chart> charts_of(const RunTable& table) {
  std::vector<Chart> charts;
  for (const auto& draw : kCharts) {
    if (Chart chart = draw(table); !chart.series.empty()) {
      charts.push_back(std::move(chart));
    }
  }
  return charts;
}

void mark_front(std::span<Point> points, bool better_low) {
  const double sign = better_low ? 1.0 : -1.0;
  const auto beats = [sign](const Point& a, const Point& b) {
    return a.x <= b.x && sign * a.y <= sign * b.y && (a.x < b.x || sign * a.y < sign * b.y);
  };
  for (Point& point : points) {
    point.on_front =
        std::ranges::none_of(points, [&](const Point& other) { return beats(other, point); });
  }
}

}  // namespace kvg::harness::report
