#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/grid.h"
#include "harness/refused_cells.h"
#include "harness/session.h"

namespace kvg::harness {

/// The cells of a grid, from their check to their last record. A `run` is a sweep of few.
class Sweep {
 public:
  /// Checks and plans every experiment before the first is measured. Throws as Session does; with
  /// kFailsRow only for what no cell can be measured with: a device that is not there, choices that
  /// go together in no experiment.
  Sweep(const Grid& grid, Listener& listener, Unplanned unplanned = Unplanned::kThrow);

  /// One of the grid's experiments: its session, or its rows where it cannot begin.
  struct Part {
    Experiment experiment;
    std::shared_ptr<Subject> subject;  ///< shared by neighbours of one model
    std::unique_ptr<Session> session;  ///< null: it cannot begin
    std::vector<RefusedTable> refused;
  };

  /// In the order of experiments_of().
  [[nodiscard]] std::span<const Part> parts() const { return parts_; }

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
  [[nodiscard]] Part plan(const Experiment& experiment, Unplanned unplanned);
  void warn_of_repeated(const std::string& method, const std::string& dataset);
  [[nodiscard]] static std::size_t cells_of(const Part& part, const Wanted& wanted);
  /// Reports the rows of a part that cannot begin.
  void report(const Part& part, const std::vector<std::string>& command, Reporter& reporter);

  Listener& listener_;
  std::vector<Part> parts_;
  std::set<const PlannedRow*> left_out_;
  std::size_t finished_ = 0;
};

}  // namespace kvg::harness
