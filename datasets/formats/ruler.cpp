// RULER (Hsieh et al. 2024, arXiv:2404.06654) as its generator writes it: a prompt whose last line
// asks, and what the answer must hold. The task is named by a field, the folder or the file
// (niah_single_1/validation.jsonl); it tells how many tokens are generated and, for qa, that one
// reference is enough.

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "datasets/formats/formats.h"
#include "datasets/formats/references.h"
#include "datasets/metrics/metrics.h"
#include "datasets/text_file.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

using Json = nlohmann::json;

struct Kind {
  std::string_view begins;  ///< the names of its tasks
  std::int32_t answer_tokens;
  const MetricInfo& metric;
};

constexpr std::array kKinds{Kind{"niah", 128, kStringMatchAll},
                            Kind{"vt", 30, kStringMatchAll},
                            Kind{"cwe", 120, kStringMatchAll},
                            Kind{"fwe", 50, kStringMatchAll},
                            Kind{"qa", 32, kStringMatchPart}};
// What a task of another name is taken for.
constexpr const Kind& kOther = kKinds.front();

const Kind* kind_of(std::string_view name) {
  const auto* const found = std::ranges::find_if(
      kKinds, [name](const Kind& kind) { return name.starts_with(kind.begins); });
  return found == kKinds.end() ? nullptr : found;
}

// The first of the line's, the file's and the folder's name that is a task's, else the file's.
std::string name_of(const Json& line, const LinePlace& place) {
  const std::string stem = place.file.stem().string();
  std::vector<std::string> names;
  if (line.contains("task")) {
    names.push_back(text_of(line, "task", place.where));
  }
  names.push_back(stem);
  names.push_back(place.file.parent_path().filename().string());
  const auto found =
      std::ranges::find_if(names, [](const std::string& name) { return kind_of(name) != nullptr; });
  return found == names.end() ? stem : *found;
}

bool matches(const Json& line) {
  return line.contains("input") && line.contains("outputs");
}

FileQuestion read(const Json& line, const LinePlace& place) {
  const std::string input = text_of(line, "input", place.where);
  const std::string prefix =
      line.contains("answer_prefix") ? text_of(line, "answer_prefix", place.where) : "";
  const std::string task = name_of(line, place);
  const Kind* const named = kind_of(task);
  const Kind& kind = named == nullptr ? kOther : *named;
  // The line break before the last line belongs to the text.
  const std::size_t asked = input.find_last_of('\n', input.find_last_not_of('\n'));
  const std::size_t begin = asked == std::string::npos ? 0 : asked + 1;
  return {.task = task,
          .prompt = {.context = input.substr(0, begin), .question = input.substr(begin) + prefix},
          .judge = Judge::kMetric,
          .metric = &kind.metric,
          .key = {.references = references_of(line, "outputs", place.where)},
          .answer_tokens = kind.answer_tokens};
}

}  // namespace

constinit const FormatInfo kRuler{.name = "RULER",
                                  .fields = "input, outputs",
                                  .summary = "the share of outputs that the answer holds",
                                  .matches = matches,
                                  .read = read};

}  // namespace kvg::datasets
