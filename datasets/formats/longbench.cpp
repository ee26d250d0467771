// LongBench (Bai et al. 2023, arXiv:2308.14508): a context, a question and its answers. The set is
// named by the field `dataset` or by the file (qasper.jsonl). A file of one's own is asked plainly
// and judged by its fields: with all_classes as a classification, else by the F1 of words.

#include "datasets/formats/longbench.h"

#include <nlohmann/json.hpp>

#include "datasets/formats/formats.h"
#include "datasets/formats/references.h"
#include "datasets/metrics/metrics.h"
#include "datasets/text_file.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kInput = "{input}";

// A set of one's own.
constexpr LongBenchSet kQuestions{.name = {},
                                  .metric = kQuestionF1,
                                  .answer_tokens = 64,
                                  .before = {},
                                  .after = "\n\nQuestion: {input}\nAnswer:"};
constexpr LongBenchSet kClasses{.name = {},
                                .metric = kClassification,
                                .answer_tokens = 64,
                                .first_line = true,
                                .before = {},
                                .after = "\n{input}"};

std::string name_of(const Json& line, const LinePlace& place) {
  const auto given = line.find("dataset");
  return given != line.end() && given->is_string() ? given->get<std::string>()
                                                   : place.file.stem().string();
}

// `filled` holds `input` where `text` names it.
std::string fill_in(std::string_view text, const std::string& input) {
  std::string filled(text);
  if (const std::size_t at = filled.find(kInput); at != std::string::npos) {
    filled.replace(at, kInput.size(), input);
  }
  return filled;
}

std::vector<std::string> classes_of(const Json& line, const std::string& where) {
  const auto found = line.find("all_classes");
  if (found == line.end() || found->is_null() || (found->is_array() && found->empty())) {
    return {};
  }
  return references_of(line, "all_classes", where);
}

bool matches(const Json& line) {
  return line.contains("input") && line.contains("context") && line.contains("answers");
}

FileQuestion read(const Json& line, const LinePlace& place) {
  AnswerKey key{.references = references_of(line, "answers", place.where),
                .classes = classes_of(line, place.where)};
  const std::string name = name_of(line, place);
  if (is_unjudged_longbench_set(name)) {
    throw DataError(
        place.where + ": set " + name +
        " is judged by words that jieba tells apart in Chinese text, which kvgauge does "
        "not; allowed: " +
        longbench_set_names() + ", or a set of one's own under another name");
  }
  const LongBenchSet* const known = find_longbench_set(name);
  const LongBenchSet& set = known != nullptr ? *known : key.classes.empty() ? kQuestions : kClasses;
  if (&set.metric == &kClassification && key.classes.empty()) {
    throw DataError(place.where + ": all_classes is missing, which " + std::string(set.name) +
                    " is judged by");
  }
  return {.task = name,
          .prompt = {.context = std::string(set.before) + text_of(line, "context", place.where),
                     .question = fill_in(set.after, text_of(line, "input", place.where))},
          .judge = Judge::kMetric,
          .metric = &set.metric,
          .key = std::move(key),
          .first_line = set.first_line,
          .answer_tokens = set.answer_tokens};
}

}  // namespace

constinit const FormatInfo kLongBench{
    .name = "LongBench",
    .fields = "input, context, answers",
    .summary =
        "LongBench's prompt, answer length and metric for each of its sets but three Chinese ones",
    .matches = matches,
    .read = read};

}  // namespace kvg::datasets
