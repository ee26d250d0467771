#pragma once

#include <vector>

#include "harness/protocol.h"
#include "model/checkpoint.h"

namespace kvg::harness {

/// The name that stands for every task at once.
inline constexpr std::string_view kAllTasks = "tasks";

/// True for a task, and for kAllTasks.
[[nodiscard]] bool is_task(std::string_view dataset);

/// What protocol `task` feeds: one workload a dataset and context, with --num-samples questions of
/// each task and depth. Throws InvalidArgument for a dataset that is no task, and for a context too
/// short for one.
[[nodiscard]] std::vector<Workload> make_task_workloads(const Experiment& experiment,
                                                        const model::ModelSource& source);

}  // namespace kvg::harness
