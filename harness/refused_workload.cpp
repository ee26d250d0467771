// Texts and tasks that cannot be measured, one by one.

#include <iterator>

#include "datasets/task.h"
#include "datasets/text.h"
#include "harness/task_workload.h"
#include "harness/workload.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

std::vector<std::string> names_of(const Experiment& experiment) {
  if (!experiment.datasets.empty()) {
    return experiment.datasets;
  }
  if (experiment.protocol == "task") {
    return {std::string(datasets::tasks().front().name)};
  }
  const bool reads_text =
      find_protocol(experiment.protocol).reads_text && !is_synthetic(experiment);
  return {reads_text ? datasets::shipped_texts().front() : "random"};
}

bool is_generated(const std::string& name) {
  return name == kAllTasks || datasets::find_task(name) != nullptr;
}

// The experiment of each dataset and context alone.
std::vector<Experiment> apart(const Experiment& experiment) {
  std::vector<Experiment> all;
  for (const std::string& name : names_of(experiment)) {
    Experiment one = experiment;
    if (!experiment.datasets.empty()) {
      one.datasets = {name};
    }
    // A depth that others were given for says nothing to a file.
    if (experiment.datasets.size() > 1 && !is_generated(name)) {
      one.depths.clear();
    }
    if (experiment.contexts.empty()) {
      all.push_back(one);
    }
    for (const std::int32_t context : experiment.contexts) {
      one.contexts = {context};
      all.push_back(one);
    }
  }
  return all;
}

}  // namespace

std::vector<Workload> refused_workloads(const Experiment& experiment, const std::string& reason) {
  std::vector<Workload> workloads;
  for (const Experiment& one : apart(experiment)) {
    Workload& workload = workloads.emplace_back();
    workload.dataset = names_of(one).front();
    workload.scored = false;
    workload.refused = reason;
    // A file of questions has the context that the model's positions leave.
    if (!one.contexts.empty()) {
      workload.context = one.contexts.front();
    } else if (one.protocol == "task" && is_generated(workload.dataset)) {
      workload.context = task_choice(one).contexts.front();
    }
  }
  return workloads;
}

std::vector<Workload> make_all_workloads(const Experiment& experiment,
                                         const model::ModelSource& source,
                                         const Warn& warn) {
  try {
    return make_workloads(experiment, source, warn);
  } catch (const Error&) {
    // Which of them it is shows when each is made alone.
  }
  std::vector<Workload> workloads;
  for (const Experiment& one : apart(experiment)) {
    std::vector<Workload> made;
    try {
      made = make_workloads(one, source, warn);
    } catch (const Error& error) {
      made = refused_workloads(one, error.what());
    }
    std::ranges::move(made, std::back_inserter(workloads));
  }
  return workloads;
}

}  // namespace kvg::harness
