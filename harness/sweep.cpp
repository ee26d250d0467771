#include "harness/sweep.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "harness/cell.h"
#include "harness/json_document.h"
#include "kernels/core/error.h"

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

bool can_be(const Experiment& experiment) {
  try {
    check(experiment);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Sweep::Sweep(const Grid& grid, Listener& listener, Unplanned unplanned) : listener_(listener) {
  const std::vector<Experiment> experiments = experiments_of(grid);
  if (unplanned == Unplanned::kThrow) {
    std::ranges::for_each(experiments, check);
  } else if (std::ranges::none_of(experiments, can_be)) {
    check(experiments.front());
  }
  for (const Experiment& experiment : experiments) {
    parts_.push_back(plan(experiment, unplanned));
  }
}

Sweep::Part Sweep::plan(const Experiment& experiment, Unplanned unplanned) {
  Part part{.experiment = experiment, .subject = {}, .session = {}, .refused = {}};
  try {
    check(experiment);
    const bool shares = !parts_.empty() && parts_.back().subject != nullptr &&
                        parts_.back().experiment.model == experiment.model;
    part.subject = shares ? parts_.back().subject : std::make_shared<Subject>(experiment);
  } catch (const Error& error) {
    if (unplanned == Unplanned::kThrow) {
      throw;
    }
    part.refused = refused_cells(experiment, error.what(), listener_);
    return part;
  }
  part.session = std::make_unique<Session>(experiment, listener_, part.subject, unplanned);
  return part;
}

void Sweep::expect_some_fit() const {
  const bool some = std::ranges::any_of(parts_, [](const Part& part) {
    return part.session == nullptr ||
           std::ranges::any_of(part.session->rows(), &PlannedRow::can_run);
  });
  if (!some) {
    parts_.front().session->expect_some_fit();
  }
}

std::set<std::string> Sweep::keys() const {
  std::set<std::string> keys;
  for (const Part& part : parts_) {
    if (part.session != nullptr) {
      for (const PlannedRow& row : part.session->rows()) {
        keys.insert(key_of(*part.session, row));
      }
    }
  }
  return keys;
}

void Sweep::warn_of_repeated(const std::string& method, const std::string& dataset) {
  listener_.warn("left out: policy " + method + " on dataset " + dataset +
                 " is there more than once");
}

void Sweep::drop_repeated() {
  std::set<std::string> seen;
  for (Part& part : parts_) {
    for (RefusedTable& table : part.refused) {
      std::erase_if(table.records, [&](const Record& record) {
        const bool repeated = !seen.insert(cell_key(to_json(record))).second;
        if (repeated) {
          warn_of_repeated(record.method, record.dataset);
        }
        return repeated;
      });
    }
    if (part.session == nullptr) {
      continue;
    }
    for (const PlannedRow& row : part.session->rows()) {
      if (!seen.insert(key_of(*part.session, row)).second) {
        left_out_.insert(&row);
        warn_of_repeated(row.policy->method, row.workload->dataset);
      }
    }
  }
}

void Sweep::leave_out(const std::set<std::string>& finished) {
  for (const Part& part : parts_) {
    if (part.session == nullptr) {
      continue;
    }
    for (const PlannedRow& row : part.session->rows()) {
      if (!left_out_.contains(&row) && finished.contains(key_of(*part.session, row))) {
        left_out_.insert(&row);
        ++finished_;
      }
    }
  }
}

std::size_t Sweep::cells_of(const Part& part, const Wanted& wanted) {
  std::size_t cells = 0;
  for (const RefusedTable& table : part.refused) {
    cells += table.records.size();
  }
  if (part.session != nullptr) {
    cells += static_cast<std::size_t>(std::ranges::count_if(part.session->rows(), wanted));
  }
  return cells;
}

Sweep::Outcome Sweep::run(const std::vector<std::string>& command, Reporter& reporter) {
  const Wanted wanted = [this](const PlannedRow& row) { return !left_out_.contains(&row); };
  std::size_t cells = finished_;
  for (const Part& part : parts_) {
    cells += cells_of(part, wanted);
  }
  Outcome outcome;
  const std::function<void(const Record&)> counted = [&](const Record& record) {
    ++outcome.measured;
    outcome.failed += record.status == Status::kFailed ? 1 : 0;
    listener_.cells(finished_ + outcome.measured, cells);
  };
  Counting counting(reporter, counted);
  listener_.cells(finished_, cells);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (cells_of(part, wanted) > 0 && !listener_.stopping()) {
      if (part.session != nullptr) {
        part.session->run(command, counting, wanted);
      } else {
        report(part, command, counting);
      }
    }
    const bool last = i + 1 == parts_.size() || parts_[i + 1].subject != part.subject;
    if (last && part.subject != nullptr) {
      part.subject->unload();
    }
  }
  outcome.left = cells - finished_ - outcome.measured;
  return outcome;
}

void Sweep::report(const Part& part, const std::vector<std::string>& command, Reporter& reporter) {
  reporter.begin_run(environment_of_refusal(part.experiment, command));
  for (const RefusedTable& refused : part.refused) {
    reporter.begin_table(refused.table);
    for (const Record& record : refused.records) {
      if (!listener_.stopping()) {
        reporter.add(record);
      }
    }
  }
}

}  // namespace kvg::harness
