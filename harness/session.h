#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/clocks.h"
#include "harness/protocol.h"
#include "harness/reporter.h"
#include "harness/subject.h"
#include "harness/wanted_policies.h"
#include "kvcompress/policy.h"

namespace kvg::harness {

/// Hears what a run has to say besides its records.
class Listener {
 public:
  Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  virtual ~Listener() = default;

  virtual void warn(const std::string& line) = 0;
  /// Work of `total` parts is `done` so far.
  virtual void progress(std::string_view what, std::size_t done, std::size_t total) = 0;
  /// Nothing is under way; called before a row is reported.
  virtual void idle() = 0;
  /// Of all cells of a grid so many are finished.
  virtual void cells(std::size_t /*done*/, std::size_t /*total*/) {}
  /// True once no further row is to begin.
  [[nodiscard]] virtual bool stopping() const { return false; }
};

/// One row to come, and what it will hold.
struct PlannedRow {
  const Workload* workload = nullptr;
  const kvcompress::Policy* policy = nullptr;
  model::RunShape shape;
  model::MemoryPlan plan;
  std::string does_not_fit;  ///< the arithmetic, when the plan is above what the device has
  std::string refused;       ///< why there is no plan

  [[nodiscard]] bool can_run() const { return does_not_fit.empty() && refused.empty(); }
};

/// Which rows of a session to measure; empty: all.
using Wanted = std::function<bool(const PlannedRow& row)>;

/// One experiment from its check to its last record.
class Session {
 public:
  /// Checks and plans everything: after it nothing is left that could be refused. Reads configs,
  /// file headers, texts and tokenizers, but no weights. Throws kvg::Error. `listener` outlives it.
  /// `subject`, when given, is what the experiment names; sessions share one, so that its weights
  /// are loaded once.
  Session(const Experiment& experiment,
          Listener& listener,
          std::shared_ptr<Subject> subject = nullptr,
          Unplanned unplanned = Unplanned::kThrow);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// One a text and policy, in the order given.
  [[nodiscard]] std::span<const PlannedRow> rows() const { return rows_; }

  /// The table that a row belongs to.
  [[nodiscard]] TableInfo table_of(const PlannedRow& row) const;

  /// Throws OutOfMemory with the arithmetic of the smallest row when not even that one fits.
  void expect_some_fit() const;

  /// What a row's record says of what is measured, before anything is; reads the weight files.
  [[nodiscard]] Record identity_of(const PlannedRow& row) const;

  /// Loads the weights and measures row after row; a row that throws is reported as failed and the
  /// next one goes on, until the listener wants none. `command` is kept in the environment. Returns
  /// the number of failed rows.
  std::size_t run(const std::vector<std::string>& command,
                  Reporter& reporter,
                  const Wanted& wanted = {});

 private:
  void check_policies();
  void plan_rows();
  [[nodiscard]] PlannedRow plan_row(const Workload& workload, std::size_t policy) const;
  [[nodiscard]] Environment environment(const std::vector<std::string>& command) const;
  [[nodiscard]] Record blank_record(const PlannedRow& row) const;
  /// A row and what it is set against the baseline's by.
  struct Measured {
    const PlannedRow* row = nullptr;
    Record record;
    std::vector<Trace> traces{};  ///< empty when it failed
  };
  /// `broken`: why there are no weights; empty: there are.
  [[nodiscard]] Measured run_row(const PlannedRow& row, const std::string& broken);
  /// The same, set against the baseline's row, which is measured before any other of its workload.
  [[nodiscard]] Record run_paired(const PlannedRow& row, const std::string& broken);
  /// The row that others of a workload are set against; null: there is none.
  [[nodiscard]] const PlannedRow* baseline_of(const Workload& workload) const;
  void compare(Measured& measured);
  [[nodiscard]] std::vector<Trace> measure(const PlannedRow& row, Record& record);
  void warm_up(const PlannedRow& row, model::Runner& runner);
  /// Runs sample `index` and as many after it as run together.
  [[nodiscard]] std::vector<Trace> run_samples(const PlannedRow& row,
                                               model::Runner& runner,
                                               std::size_t index);
  [[nodiscard]] model::RunShape shape_of(const Workload& workload,
                                         const kvcompress::Policy& policy) const;
  [[nodiscard]] const model::Weights& weights();
  /// Loads the weights if a wanted row needs them; says why they cannot be had, or nothing.
  [[nodiscard]] std::string load_for(const Wanted& wanted);
  [[nodiscard]] const model::ModelSource& source() const { return subject_->source(); }
  [[nodiscard]] kernels::Backend& backend() const { return subject_->backend(); }

  Experiment experiment_;
  Listener& listener_;
  const Protocol& protocol_;
  std::vector<WantedPolicy> wanted_;
  Unplanned unplanned_;
  std::vector<kvcompress::Policy> policies_;
  std::vector<std::string> refusals_;  ///< [policies_]: why the model cannot have it, or nothing
  std::shared_ptr<Subject> subject_;
  ClockReader clocks_;
  std::vector<Workload> workloads_;
  std::vector<PlannedRow> rows_;
  Measured baseline_;  ///< of the workload under way
};

}  // namespace kvg::harness
