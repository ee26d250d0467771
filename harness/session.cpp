#include "harness/session.h"

#include <algorithm>
#include <array>
#include <limits>

#include "harness/bounds.h"
#include "harness/columns.h"
#include "harness/meter.h"
#include "harness/paired.h"
#include "harness/plain_text.h"
#include "harness/summary.h"
#include "harness/workload.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

// More steps than any run has; one may still be added.
constexpr std::size_t kAllSteps = std::numeric_limits<std::size_t>::max() / 2;

const Experiment& checked(const Experiment& experiment) {
  check(experiment);
  return experiment;
}

// For a title; either may be empty.
std::string joined(const std::string& one, const std::string& other) {
  return one + (one.empty() || other.empty() ? "" : " | ") + other;
}

}  // namespace

Session::Session(const Experiment& experiment,
                 Listener& listener,
                 std::shared_ptr<Subject> subject,
                 Unplanned unplanned)
    : experiment_(checked(experiment)),
      listener_(listener),
      protocol_(find_protocol(experiment_.protocol)),
      wanted_(parse_policies(
          experiment_.policies,
          protocol_.feed,
          [&listener](const std::string& reason) { listener.warn("left out: " + reason); },
          unplanned)),
      unplanned_(unplanned),
      subject_(subject ? std::move(subject) : std::make_shared<Subject>(experiment_)),
      clocks_(backend().device()),
      workloads_((unplanned == Unplanned::kThrow ? make_workloads : make_all_workloads)(
          experiment_, source(), [&listener](const std::string& line) { listener.warn(line); })) {
  check_policies();
  plan_rows();
}

Session::~Session() = default;

TableInfo Session::table_of(const PlannedRow& row) const {
  TableInfo table{.model = source().text,
                  .dataset = row.workload->dataset,
                  .protocol = experiment_.protocol,
                  .device = backend().device().id,
                  .on_cuda = backend().device().kind == kernels::DeviceKind::kCuda,
                  .asks = row.workload->context.has_value(),
                  .variant = joined(experiment_.convention.value_or(""), experiment_.variant),
                  .methods = {}};
  for (const kvcompress::Policy& policy : policies_) {
    table.methods.push_back(policy.method);
  }
  return table;
}

Environment Session::environment(const std::vector<std::string>& command) const {
  Environment result = read_environment(backend().device());
  result.command = command;
  result.weights = {.name = source().text, .sha256 = subject_->weights_sha256()};
  for (const Workload& workload : workloads_) {
    result.texts.push_back({.name = workload.dataset, .sha256 = workload.sha256});
  }
  return result;
}

std::size_t Session::run(const std::vector<std::string>& command,
                         Reporter& reporter,
                         const Wanted& wanted) {
  const Environment where = environment(command);
  const std::string broken = load_for(wanted);
  reporter.begin_run(where);
  std::size_t failed = 0;
  const Workload* workload = nullptr;
  for (const PlannedRow& row : rows_) {
    if (wanted && !wanted(row)) {
      continue;
    }
    // A baseline that was measured ahead of its place is still reported.
    if (listener_.stopping() && baseline_.row != &row) {
      continue;
    }
    if (row.workload != workload) {
      workload = row.workload;
      reporter.begin_table(table_of(row));
    }
    const Record record = run_paired(row, broken);
    listener_.idle();
    reporter.add(record);
    failed += record.status == Status::kFailed ? 1 : 0;
  }
  baseline_ = {};
  return failed;
}

const model::Weights& Session::weights() {
  return subject_->weights([this](std::size_t done, std::size_t total) {
    listener_.progress("loading weights", done, total);
  });
}

std::string Session::load_for(const Wanted& wanted) {
  const bool needed = std::ranges::any_of(rows_, [&wanted](const PlannedRow& row) {
    return row.can_run() && (!wanted || wanted(row));
  });
  if (!needed || listener_.stopping()) {
    return {};
  }
  static_cast<void>(subject_->ceilings());
  try {
    static_cast<void>(weights());
  } catch (const std::exception& error) {
    listener_.idle();
    return error.what();
  }
  listener_.idle();
  return {};
}

Record Session::identity_of(const PlannedRow& row) const {
  Record record = record_of(experiment_, backend().device());
  record.method = row.policy->method;
  record.policy = row.policy->canonical;
  record.budget_requested = row.policy->selection->requested();
  record.model = source().text;
  record.dataset = row.workload->dataset;
  record.dtype = name_of(backend().compute_dtype());
  record.batch = row.shape.batch;
  record.weights_sha256 = subject_->weights_sha256();
  record.dataset_sha256 = row.workload->sha256;
  record.settings = settings_of(experiment_, *row.workload);
  if (baseline_of(*row.workload) != nullptr) {
    record.settings.push_back({.name = "paired", .value = std::string("baseline")});
  }
  record.context = row.workload->context;
  return record;
}

Record Session::blank_record(const PlannedRow& row) const {
  Record record = identity_of(row);
  record.predicted_peak_bytes = static_cast<std::int64_t>(row.plan.total());
  record.calibration = subject_->ceilings();
  return record;
}

Session::Measured Session::run_row(const PlannedRow& row, const std::string& broken) {
  Measured measured{.row = &row, .record = blank_record(row)};
  try {
    if (!row.can_run()) {
      throw Error(row.refused + row.does_not_fit);
    }
    if (!broken.empty()) {
      throw Error(broken);
    }
    measured.traces = measure(row, measured.record);
  } catch (const std::exception& error) {
    // Whatever was filled in before the failure is no measurement of a whole row.
    measured.record = blank_record(row);
    measured.record.status = Status::kFailed;
    measured.record.error = one_line(error.what());
  }
  return measured;
}

const PlannedRow* Session::baseline_of(const Workload& workload) const {
  const auto found = std::ranges::find_if(rows_, [&workload](const PlannedRow& row) {
    return row.workload == &workload && row.policy->canonical == "baseline";
  });
  return protocol_.scores_text && workload.scored && found != rows_.end() ? &*found : nullptr;
}

Record Session::run_paired(const PlannedRow& row, const std::string& broken) {
  const PlannedRow* const baseline = baseline_of(*row.workload);
  if (baseline == nullptr || !row.can_run()) {
    return run_row(row, broken).record;
  }
  if (baseline_.row != baseline) {
    baseline_ = run_row(*baseline, broken);
    compare(baseline_);
  }
  if (&row == baseline) {
    return baseline_.record;
  }
  Measured measured = run_row(row, broken);
  compare(measured);
  return measured.record;
}

void Session::compare(Measured& measured) {
  if (measured.traces.empty() || baseline_.traces.empty()) {
    return;
  }
  const PlannedRow& row = *measured.row;
  keep_deltas(baseline_.traces, measured.traces, measured.record);
  if (!experiment_.kl) {
    return;
  }
  if (measured.row == baseline_.row) {
    keep_divergences(std::array{0.0}, measured.record);
    return;
  }
  try {
    keep_divergences(divergences_of({.workload = *row.workload,
                                     .policy = *row.policy,
                                     .baseline = *baseline_.row->policy,
                                     .shape = row.shape},
                                    {.config = source().config,
                                     .weights = weights(),
                                     .backend = backend(),
                                     .most_bytes = subject_->bound().bytes},
                                    measured.traces,
                                    [this, &row](std::size_t done, std::size_t total) {
                                      listener_.progress(
                                          row.policy->method + " beside baseline", done, total);
                                    }),
                     measured.record);
  } catch (const std::exception& error) {
    listener_.warn(row.policy->method + ": no kl_mean and no kl_p99: " + one_line(error.what()));
  }
}

void Session::warm_up(const PlannedRow& row, model::Runner& runner) {
  const std::int32_t steps = value_of(experiment_, &Experiment::warmup);
  const Tick silent;
  if (steps > 0 && !protocol_.quality_only) {
    protocol_.run({.runner = runner,
                   .experiment = experiment_,
                   .samples = std::span(row.workload->samples).first(1),
                   .questions = row.workload->questions,
                   .max_steps = static_cast<std::size_t>(steps),
                   .tick = silent});
  }
}

std::vector<Trace> Session::run_samples(const PlannedRow& row,
                                        model::Runner& runner,
                                        std::size_t index) {
  const std::span samples(row.workload->samples);
  const std::span questions(row.workload->questions);
  const std::span<const std::int32_t> scored(row.workload->first_scored);
  const std::size_t count = samples.size() * static_cast<std::size_t>(row.workload->repeats);
  const std::string label =
      row.policy->method + ", sample " + std::to_string(index + 1) + " of " + std::to_string(count);
  const std::size_t first = index % samples.size();
  const std::size_t rows =
      protocol_.quality_only ? static_cast<std::size_t>(row.shape.batch) : std::size_t{1};
  const Tick tick = [this, &label](std::size_t done, std::size_t total) {
    listener_.progress(label, done, total);
  };
  return protocol_.run({.runner = runner,
                        .experiment = experiment_,
                        .samples = samples.subspan(first, std::min(rows, samples.size() - first)),
                        .first_scored = scored.subspan(std::min(first, scored.size())),
                        .questions = questions.subspan(std::min(first, questions.size())),
                        .max_steps = kAllSteps,
                        .tick = tick});
}

std::vector<Trace> Session::measure(const PlannedRow& row, Record& record) {
  MemoryMeter meter(backend());
  model::Runner runner({source().config, weights()}, backend(), *row.policy, row.shape);
  const Workload& workload = *row.workload;
  warm_up(row, runner);
  meter.lap();
  const std::size_t samples = workload.samples.size() * static_cast<std::size_t>(workload.repeats);
  std::vector<Trace> traces;
  std::vector<std::optional<Clocks>> clocks{clocks_.read()};
  while (traces.size() < samples) {
    std::vector<Trace> run = run_samples(row, runner, traces.size());
    clocks.push_back(clocks_.read());
    const std::int64_t peak = meter.lap();
    for (Trace& trace : run) {
      trace.peak_bytes = peak;
      record.samples.push_back(to_sample(trace, workload.scored));
      traces.push_back(std::move(trace));
    }
  }
  keep_clocks(clocks, record);
  protocol_.summarise(workload, traces, record);
  keep_bits_per_byte(workload, traces, record);
  keep_intervals(record);
  summarise_cache(traces, record);
  keep_spread(traces, record);
  if (runner.holds_cache()) {
    record.bits_per_element = runner.cache().bits_per_element();
  }
  record.memory = meter.figures();
  keep_bounds({.config = source().config,
               .device = backend().device(),
               .matrices = subject_->matrices(),
               .compute = backend().compute_dtype(),
               .step_kernels = runner.step_kernels()},
              traces,
              record);
  return traces;
}

}  // namespace kvg::harness
