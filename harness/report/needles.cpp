#include "harness/report/needles.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

// As much of an answer as tells what it was.
constexpr std::size_t kShownBytes = 200;

// More than any prompt has.
constexpr double kMostTokens = 1e12;

// A stranger's depths must not make a grid of their own number.
std::optional<int> depth_of(const Json& sample) {
  const auto depth = number_member(sample, "depth");
  if (!depth || *depth < 0.0 || *depth > 100.0) {
    return {};
  }
  return static_cast<int>(*depth);
}

struct Found {
  std::int64_t context = 0;
  int depth = 0;
  double score = 0.0;
};

std::vector<Found> found_in(const TableRow& row) {
  std::vector<Found> all;
  const auto context = number_member(*row.record, "context");
  if (!context || *context < 0.0 || *context > kMostTokens) {
    return all;
  }
  for (const Json& sample : array_member(*row.record, "samples")) {
    const auto depth = depth_of(sample);
    const auto score = number_member(sample, "score");
    if (depth && score) {
      all.push_back({.context = static_cast<std::int64_t>(*context),
                     .depth = *depth,
                     .score = std::clamp(*score, 0.0, 1.0)});
    }
  }
  return all;
}

NeedleGrid grid_of(const std::string& name, const std::vector<Found>& all) {
  std::set<std::int64_t> contexts;
  std::set<int> depths;
  for (const Found& found : all) {
    contexts.insert(found.context);
    depths.insert(found.depth);
  }
  NeedleGrid grid{.name = name,
                  .contexts = {contexts.begin(), contexts.end()},
                  .depths = {depths.begin(), depths.end()},
                  .cells = {}};
  grid.cells.assign(depths.size(), std::vector<NeedleGrid::Cell>(contexts.size()));
  for (const Found& found : all) {
    const auto row = std::ranges::lower_bound(grid.depths, found.depth) - grid.depths.begin();
    const auto column =
        std::ranges::lower_bound(grid.contexts, found.context) - grid.contexts.begin();
    NeedleGrid::Cell& cell =
        grid.cells[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
    cell.score_sum += found.score;
    ++cell.answers;
  }
  return grid;
}

}  // namespace

std::vector<NeedleGrid> needle_grids(const RunTable& table) {
  std::vector<std::string> methods;
  std::map<std::string, std::vector<Found>> by_method;
  for (const TableRow& row : table.rows) {
    const std::vector<Found> found = found_in(row);
    std::vector<Found>& all = by_method[row.method];
    if (all.empty() && !found.empty()) {
      methods.push_back(row.method);
    }
    all.insert(all.end(), found.begin(), found.end());
  }
  std::vector<NeedleGrid> grids;
  grids.reserve(methods.size());
  for (const std::string& method : methods) {
    grids.push_back(grid_of(method, by_method.at(method)));
  }
  return grids;
}

std::vector<Miss> misses(const RunTable& table, std::size_t most) {
  std::vector<Miss> all;
  for (const TableRow& row : table.rows) {
    for (const Json& sample : array_member(*row.record, "samples")) {
      const auto score = number_member(sample, "score");
      if (all.size() == most || !score || *score >= 1.0) {
        continue;
      }
      const auto depth = depth_of(sample);
      all.push_back({.name = row.method + (row.variant.empty() ? "" : ", " + row.variant),
                     .depth = depth ? std::to_string(*depth) + " %" : "-",
                     .text = beginning(text_member(sample, "text"), kShownBytes),
                     .score = *score});
    }
  }
  return all;
}

}  // namespace kvg::harness::report
