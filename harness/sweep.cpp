#include "harness/sweep.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "harness/cell.h"
#include "harness/json_document.h"

namespace kvg::harness {
namespace {

// Counts rows on their way to another reporter.
class Counting final : public Reporter {
 public:
  Counting(Reporter& next, const std::function<void(const Record&)>& counted)
      : next_(next), counted_(counted) {}

  void begin_run(const Environment& environment) override { next_.begin_run(environment); }
  void begin_table(const TableInfo& table) override { next_.begin_table(table); }
  void add(const Record& record) override {
    next_.add(record);
    counted_(record);
  }

 private:
  Reporter& next_;
  const std::function<void(const Record&)>& counted_;
};

std::string key_of(const Session& session, const PlannedRow& row) {
  return cell_key(to_json(session.identity_of(row)));
}

}  // namespace

Sweep::Sweep(const Grid& grid, Listener& listener) : listener_(listener) {
  const std::vector<Experiment> experiments = experiments_of(grid);
  for (const Experiment& experiment : experiments) {
    check(experiment);
  }
  for (std::size_t i = 0; i < experiments.size(); ++i) {
    const Experiment& experiment = experiments[i];
    const bool shares = i > 0 && experiments[i - 1].model == experiment.model;
    subjects_.push_back(shares ? subjects_.back() : std::make_shared<Subject>(experiment));
    sessions_.push_back(std::make_unique<Session>(experiment, listener, subjects_.back()));
  }
}

void Sweep::expect_some_fit() const {
  const bool some = std::ranges::any_of(sessions_, [](const auto& session) {
    return std::ranges::any_of(session->rows(),
                               [](const PlannedRow& row) { return row.does_not_fit.empty(); });
  });
  if (!some) {
    sessions_.front()->expect_some_fit();
  }
}

std::set<std::string> Sweep::keys() const {
  std::set<std::string> keys;
  for (const auto& session : sessions_) {
    for (const PlannedRow& row : session->rows()) {
      keys.insert(key_of(*session, row));
    }
  }
  return keys;
}

void Sweep::drop_repeated() {
  std::set<std::string> seen;
  for (const auto& session : sessions_) {
    for (const PlannedRow& row : session->rows()) {
      if (!seen.insert(key_of(*session, row)).second) {
        left_out_.insert(&row);
        listener_.warn("left out: policy " + row.policy->method + " on dataset " +
                       row.workload->dataset + " is there more than once");
      }
    }
  }
}

void Sweep::leave_out(const std::set<std::string>& finished) {
  for (const auto& session : sessions_) {
    for (const PlannedRow& row : session->rows()) {
      if (!left_out_.contains(&row) && finished.contains(key_of(*session, row))) {
        left_out_.insert(&row);
        ++finished_;
      }
    }
  }
}

Sweep::Outcome Sweep::run(const std::vector<std::string>& command, Reporter& reporter) {
  const Wanted wanted = [this](const PlannedRow& row) { return !left_out_.contains(&row); };
  std::size_t cells = finished_;
  for (const auto& session : sessions_) {
    cells += static_cast<std::size_t>(std::ranges::count_if(session->rows(), wanted));
  }
  Outcome outcome;
  const std::function<void(const Record&)> counted = [&](const Record& record) {
    ++outcome.measured;
    outcome.failed += record.status == Status::kFailed ? 1 : 0;
    listener_.cells(finished_ + outcome.measured, cells);
  };
  Counting counting(reporter, counted);
  listener_.cells(finished_, cells);
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    Session& session = *sessions_[i];
    if (std::ranges::any_of(session.rows(), wanted) && !listener_.stopping()) {
      session.run(command, counting, wanted);
    }
    if (i + 1 == sessions_.size() || subjects_[i + 1] != subjects_[i]) {
      subjects_[i]->unload();
    }
  }
  outcome.left = cells - finished_ - outcome.measured;
  return outcome;
}

}  // namespace kvg::harness
