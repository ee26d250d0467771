#pragma once

#include <vector>

#include "harness/workload.h"

namespace kvg::harness {

/// The name that stands for every task at once.
inline constexpr std::string_view kAllTasks = "tasks";

/// True for a task, for kAllTasks and for a file that asks questions.
[[nodiscard]] bool is_task(std::string_view dataset);

/// What protocol `task` feeds: one workload a dataset and context, with --num-samples questions of
/// each task and depth, or those of a file. Throws InvalidArgument for a dataset that is neither,
/// and for a context too short for a task.
[[nodiscard]] std::vector<Workload> make_task_workloads(const Experiment& experiment,
                                                        const model::ModelSource& source,
                                                        const Warn& warn);

}  // namespace kvg::harness
