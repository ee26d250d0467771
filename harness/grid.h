#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/experiment.h"

namespace kvg::harness {

/// Experiments of one grid, and cells of one, at most.
inline constexpr std::size_t kMostCells = 100'000;

/// The values that were given for a count that takes several.
struct CountValues {
  const CountInfo* count = nullptr;
  std::vector<std::int32_t> values;
};

/// What was given for every choice of a run: one value, or several where it takes several.
struct Grid {
  Experiment base{};                      ///< whatever has one value
  std::vector<std::string> models{};      ///< empty: the default
  std::vector<std::string> policies{};    ///< one spec or suite each; empty: the default
  std::optional<std::string> protocol{};  ///< empty: as the first dataset asks for it
  std::vector<CountValues> counts{};      ///< of several values
};

/// The protocol that was given, else `task` where the first dataset is a task, else the default.
[[nodiscard]] std::string protocol_of(const Grid& grid);

/// One experiment a model and combination of counts, the model outermost, then the counts in the
/// order of counts(), the last changing fastest. Inside each lie its datasets, contexts and
/// policies, in this order. Throws InvalidArgument above kMostCells.
[[nodiscard]] std::vector<Experiment> experiments_of(const Grid& grid);

/// A policy for every number of its ranges: "window_256-1024*2" is window_256, window_512 and
/// window_1024; a range may also stand behind "budget=". Specs without one come back as they are.
/// Throws InvalidArgument for a range that is none.
[[nodiscard]] std::vector<std::string> expand_policy(const std::string& spec);

}  // namespace kvg::harness
