// What of an experiment can be run, and what it will hold.

#include <algorithm>

#include "harness/columns.h"
#include "harness/session.h"
#include "harness/workload.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

std::string arithmetic(const PlannedRow& row, const Subject::Bound& bound) {
  const auto part = [](std::string_view name, std::size_t bytes) {
    return std::string(name) + " " + gigabytes(static_cast<double>(bytes));
  };
  const model::MemoryPlan& plan = row.plan;
  return "policy " + row.policy->method + " needs " + gigabytes(static_cast<double>(plan.total())) +
         " (" + part("weights", plan.weights) + " + " + part("kv", plan.kv) + " + " +
         part("activations", plan.activations) + " + " + part("workspace", plan.workspace) + " + " +
         part("observations", plan.observations) + "), above the " +
         gigabytes(static_cast<double>(bound.bytes)) + " of " + bound.name;
}

}  // namespace

void Session::check_policies() {
  for (const WantedPolicy& wanted : wanted_) {
    if (!wanted.refused.empty()) {
      policies_.push_back(wanted.policy);
      refusals_.push_back(wanted.refused);
      continue;
    }
    try {
      kvcompress::check_policy(
          wanted.policy, source().config.layers, source().config.heads, backend().compute_dtype());
      policies_.push_back(wanted.policy);
      refusals_.emplace_back();
    } catch (const InvalidArgument& error) {
      if (wanted.of_suite) {
        listener_.warn(std::string("left out: ") + error.what());
      } else if (unplanned_ == Unplanned::kThrow) {
        throw;
      } else {
        policies_.push_back(wanted.policy);
        refusals_.emplace_back(error.what());
      }
    }
  }
}

// With --batch auto as many rows as are of use and fit, at least one.
model::RunShape Session::shape_of(const Workload& workload,
                                  const kvcompress::Policy& policy) const {
  model::RunShape shape = protocol_.shape(experiment_, workload);
  if (!protocol_.quality_only || experiment_.batch.value_or(kAuto) != kAuto) {
    return shape;
  }
  const std::size_t bound = subject_->bound().bytes;
  const auto fits = [&](std::int32_t batch) {
    shape.batch = batch;
    return model::Runner::plan(source().config, backend(), policy, shape).total() <= bound;
  };
  std::int32_t most = model::Runner::useful_batch(source().config, backend(), policy, shape);
  std::int32_t least = 1;
  while (least < most) {
    const std::int32_t middle = least + (most - least + 1) / 2;
    if (fits(middle)) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  shape.batch = least;
  return shape;
}

PlannedRow Session::plan_row(const Workload& workload, std::size_t policy) const {
  const Subject::Bound& bound = subject_->bound();
  PlannedRow row{.workload = &workload,
                 .policy = &policies_[policy],
                 .shape = {.batch = given_batch(experiment_)},
                 .plan = {},
                 .does_not_fit = {},
                 .refused = workload.refused.empty() ? refusals_[policy] : workload.refused};
  if (!row.refused.empty()) {
    return row;
  }
  try {
    const model::RunShape shape = shape_of(workload, *row.policy);
    row.plan = model::Runner::plan(source().config, backend(), *row.policy, shape);
    row.shape = shape;
  } catch (const Error& error) {
    if (unplanned_ == Unplanned::kThrow) {
      throw;
    }
    row.refused = error.what();
  }
  if (row.plan.total() > bound.bytes) {
    row.does_not_fit = arithmetic(row, bound);
  }
  return row;
}

void Session::plan_rows() {
  for (const Workload& workload : workloads_) {
    for (std::size_t policy = 0; policy < policies_.size(); ++policy) {
      rows_.push_back(plan_row(workload, policy));
    }
  }
}

void Session::expect_some_fit() const {
  const auto smallest =
      std::ranges::min_element(rows_, {}, [](const PlannedRow& row) { return row.plan.total(); });
  if (!smallest->does_not_fit.empty()) {
    throw OutOfMemory(smallest->does_not_fit);
  }
}

}  // namespace kvg::harness
