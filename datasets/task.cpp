#include "datasets/task.h"

#include <algorithm>
#include <array>

#include "datasets/tasks/tasks.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

std::size_t tokens_of(const TaskDraft& draft, std::size_t units, const CountTokens& count) {
  const Prompt prompt = draft.build(units);
  return count(prompt.context + prompt.question);
}

}  // namespace

std::span<const TaskInfo> tasks() {
  static const std::array kTasks{kNiah,
                                 kNiahMultikey,
                                 kNiahMultivalue,
                                 kNiahMultiquery,
                                 kPasskey,
                                 kVariableTracking,
                                 kCommonWords,
                                 kFrequentWords,
                                 kKeyValueLookup,
                                 kCopy};
  return kTasks;
}

const TaskInfo* find_task(std::string_view name) {
  const auto all = tasks();
  const auto found = std::ranges::find(all, name, &TaskInfo::name);
  return found == all.end() ? nullptr : &*found;
}

TaskSample make_sample(const TaskInfo& task, const TaskRequest& request, const CountTokens& count) {
  KVG_EXPECT(request.depth >= 0 && request.depth <= 100, "a depth is a percentage");
  const TaskDraft draft = task.draft(request);
  std::size_t fits = draft.least;
  if (const std::size_t needed = tokens_of(draft, fits, count); needed > request.context) {
    throw InvalidArgument("--context " + std::to_string(request.context) + " is too short for " +
                          std::string(task.name) + "; allowed: from " + std::to_string(needed));
  }
  // Doubling keeps the texts that are counted in proportion to what fits.
  std::size_t beyond = fits * 2;
  while (tokens_of(draft, beyond, count) <= request.context) {
    fits = beyond;
    beyond *= 2;
  }
  while (fits + 1 < beyond) {
    const std::size_t middle = fits + (beyond - fits) / 2;
    (tokens_of(draft, middle, count) <= request.context ? fits : beyond) = middle;
  }
  return {.task = std::string(task.name),
          .prompt = draft.build(fits),
          .references = draft.references,
          .depth = request.depth};
}

}  // namespace kvg::datasets
