// The pass key of Landmark Attention (Mohtashami and Jaggi 2023, arXiv:2305.16300), its words for
// the key and the question: five digits, here in a novel, as repeated filler makes the key the only
// text of interest. Found when the answer's first number is the key.

#include <algorithm>

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

constexpr int kDigits = 5;
constexpr std::size_t kStarts = 2000;
constexpr std::string_view kNumerals = "0123456789";

TaskDraft draft(const TaskRequest& request) {
  Draw draw(request.seed);
  const std::string key = draw.digits(kDigits);
  TaskDraft result;
  result.references = {key};
  result.build = [key,
                  start = draw.below(kStarts),
                  depth = static_cast<std::size_t>(request.depth)](std::size_t sentences) {
    const std::size_t before = sentences * depth / 100;
    const std::string told =
        "The pass key is " + key + ". Remember it. " + key + " is the pass key.";
    std::string text;
    for (std::size_t i = 0; i <= sentences; ++i) {
      if (i == before) {
        add_line(told, text);
      }
      if (i < sentences) {
        add_sentence(essay_sentence(start + i), text);
      }
    }
    end_line(text);
    return Prompt{.context =
                      "There is an important info hidden inside a lot of irrelevant text. "
                      "Find it and memorize it. I will quiz you about the important "
                      "information there.\n" +
                      text,
                  .question = "What is the pass key? The pass key is"};
  };
  return result;
}

double score(std::string_view answer, std::span<const std::string> references) {
  const std::size_t begin = answer.find_first_of(kNumerals);
  if (begin == std::string_view::npos) {
    return 0.0;
  }
  const std::size_t end = std::min(answer.find_first_not_of(kNumerals, begin), answer.size());
  return answer.substr(begin, end - begin) == references.front() ? 1.0 : 0.0;
}

}  // namespace

constinit const TaskInfo kPasskey{.name = "passkey",
                                  .summary = "a 5-digit key in a novel",
                                  .answer_tokens = 16,
                                  .draft = draft,
                                  .score = score};

}  // namespace kvg::datasets
