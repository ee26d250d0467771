#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// A text with something in it, and what is asked of it. The prompt is both, one after the other.
struct Prompt {
  std::string context;   ///< the instruction and what is to be read
  std::string question;  ///< and the beginning of its answer
};

/// One sample of a task, with what a right answer holds.
struct TaskSample {
  std::string task;
  Prompt prompt;
  std::vector<std::string> references;
  std::int32_t depth = 0;  ///< percent of the text before what is asked for
};

/// Yields the tokens of a text, all that a model puts in front included.
using CountTokens = std::function<std::size_t(std::string_view text)>;

/// What a sample is drawn with; the same request yields the same sample.
struct TaskRequest {
  std::size_t context = 0;  ///< most tokens of the prompt
  std::int32_t depth = 0;   ///< 0 to 100
  std::uint64_t seed = 0;
};

/// A sample before its length is chosen.
struct TaskDraft {
  std::function<Prompt(std::size_t units)> build;  ///< longer the more units of text it is given
  std::size_t least = 1;                           ///< units that it needs
  std::vector<std::string> references;
};

/// One row of the table of tasks.
struct TaskInfo {
  std::string_view name;
  std::string_view summary;
  std::int32_t answer_tokens = 0;  ///< that are generated
  bool has_depth = true;           ///< false: what is asked for lies everywhere
  TaskDraft (*draft)(const TaskRequest& request) = nullptr;
  /// What of `references` an answer holds: 0 to 1.
  double (*score)(std::string_view answer, std::span<const std::string> references) = nullptr;
};

/// Every task, in the order of the help.
[[nodiscard]] std::span<const TaskInfo> tasks();

/// Null when there is none of this name.
[[nodiscard]] const TaskInfo* find_task(std::string_view name);

/// Draws a sample whose prompt has as many tokens as fit into request.context. Throws
/// InvalidArgument when not even the shortest fits, naming what it needs.
[[nodiscard]] TaskSample make_sample(const TaskInfo& task,
                                     const TaskRequest& request,
                                     const CountTokens& count);

}  // namespace kvg::datasets
