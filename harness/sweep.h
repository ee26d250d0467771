#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/grid.h"
#include "harness/session.h"

namespace kvg::harness {

/// The cells of a grid, from their check to their last record. A `run` is a sweep of few.
class Sweep {
 public:
  /// Checks and plans every experiment before the first is measured. Throws as Session does.
  Sweep(const Grid& grid, Listener& listener);

  /// One an experiment, in the order of experiments_of(); the rows of each are cells.
  [[nodiscard]] std::span<const std::unique_ptr<Session>> sessions() const { return sessions_; }

  /// Throws OutOfMemory with the arithmetic of a small row when not one row fits.
  void expect_some_fit() const;

  /// The cell_key() of every cell; reads the weight files.
  [[nodiscard]] std::set<std::string> keys() const;

  /// Leaves out cells that have the key of one in front of them, with a warning each.
  void drop_repeated();

  /// Leaves out what is finished.
  void leave_out(const std::set<std::string>& finished);

  struct Outcome {
    std::size_t measured = 0;  ///< the failed ones among them
    std::size_t failed = 0;
    std::size_t left = 0;  ///< for the next time: the listener wanted no further row
  };

  /// Measures the cells, model by model; each model is loaded at most once.
  Outcome run(const std::vector<std::string>& command, Reporter& reporter);

 private:
  Listener& listener_;
  std::vector<std::shared_ptr<Subject>> subjects_;  ///< [sessions], equal ones side by side
  std::vector<std::unique_ptr<Session>> sessions_;
  std::set<const PlannedRow*> left_out_;
  std::size_t finished_ = 0;
};

}  // namespace kvg::harness
