#include "harness/grid.h"

#include <algorithm>

#include "harness/number_list.h"
#include "harness/task_workload.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

// Entries that a policy's range may name; its selection has its own bounds.
constexpr std::int32_t kMostEntries = 1 << 30;

// The product of what lies in the grid, as far as it matters.
std::size_t cells_of(const Grid& grid) {
  std::size_t cells = 1;
  const auto multiply = [&cells](std::size_t values) {
    cells *= std::clamp<std::size_t>(values, 1, kMostCells + 1);
    cells = std::min(cells, kMostCells + 1);
  };
  multiply(grid.models.size());
  for (const CountValues& count : grid.counts) {
    multiply(count.values.size());
  }
  multiply(grid.base.datasets.size());
  multiply(grid.base.contexts.size());
  multiply(grid.policies.size());
  return cells;
}

void set(Experiment& experiment, const CountInfo& count, std::int32_t value) {
  experiment.*count.member = value;
  experiment.variant += (experiment.variant.empty() ? "" : ", ") +
                        std::string(count.flag.substr(2)) + " " +
                        (value == kAuto ? "auto" : std::to_string(value));
}

}  // namespace

std::string protocol_of(const Grid& grid) {
  if (grid.protocol) {
    return *grid.protocol;
  }
  const std::vector<std::string>& datasets = grid.base.datasets;
  return !datasets.empty() && is_task(datasets.front()) ? "task" : grid.base.protocol;
}

std::vector<Experiment> experiments_of(const Grid& grid) {
  if (cells_of(grid) > kMostCells) {
    throw InvalidArgument("the grid has more than the " + std::to_string(kMostCells) +
                          " cells allowed");
  }
  std::vector<Experiment> experiments{grid.base};
  experiments.front().protocol = protocol_of(grid);
  if (!grid.policies.empty()) {
    experiments.front().policies = grid.policies;
  }
  const auto spread = [&experiments](const auto& values, const auto& give) {
    std::vector<Experiment> wider;
    for (const Experiment& experiment : experiments) {
      for (const auto& value : values) {
        give(wider.emplace_back(experiment), value);
      }
    }
    experiments = std::move(wider);
  };
  if (!grid.models.empty()) {
    spread(grid.models,
           [](Experiment& experiment, const std::string& model) { experiment.model = model; });
  }
  for (const CountInfo& info : counts()) {
    const auto given = std::ranges::find(grid.counts, &info, &CountValues::count);
    if (given != grid.counts.end()) {
      spread(given->values,
             [&info](Experiment& experiment, std::int32_t value) { set(experiment, info, value); });
    }
  }
  return experiments;
}

std::vector<std::string> expand_policy(const std::string& spec) {
  constexpr std::string_view kBudget = "budget=";
  constexpr std::string_view kDigits = "0123456789";
  // A short name ends with its budget; a longer spec names it.
  const std::string_view mark = spec.find_first_of(":=") == std::string::npos ? "_" : kBudget;
  const std::size_t before = spec.find(mark);
  if (before == std::string::npos) {
    return {spec};
  }
  const std::size_t from = before + mark.size();
  const std::size_t dash = spec.find_first_not_of(kDigits, from);
  if (dash == from || dash == std::string::npos || spec[dash] != '-') {
    return {spec};
  }
  const std::size_t end = std::min(spec.find_first_of(",:", from), spec.size());
  // A codec follows a '+', a step does too: the latter is followed by a digit.
  std::size_t last = end;
  for (std::size_t at = spec.find('+', from); at < end; at = spec.find('+', at + 1)) {
    if (at + 1 == spec.size() || kDigits.find(spec[at + 1]) == std::string_view::npos) {
      last = at;
      break;
    }
  }
  std::vector<std::string> specs;
  const auto numbers = parse_numbers(spec.substr(from, last - from),
                                     {"--policy " + spec + ": the range", 1, kMostEntries});
  specs.reserve(numbers.size());
  for (const std::int32_t number : numbers) {
    specs.push_back(spec.substr(0, from) + std::to_string(number) + spec.substr(last));
  }
  return specs;
}

}  // namespace kvg::harness
