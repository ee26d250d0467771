// A passage of a novel to be repeated from its first words on. The score is the share of its words
// that the answer repeats before the first wrong one.

#include <sstream>

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

constexpr std::size_t kStarts = 2000;
constexpr std::size_t kGivenWords = 8;
constexpr std::size_t kAskedWords = 16;

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  return words;
}

// The first sentence at or after `start` with words enough.
std::size_t find_passage(std::size_t start) {
  while (words_of(essay_sentence(start)).size() < kGivenWords + kAskedWords) {
    ++start;
  }
  return start;
}

std::string joined(const std::vector<std::string>& words, std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i) {
    text += (i == first ? "" : " ") + words[i];
  }
  return text;
}

TaskDraft draft(const TaskRequest& request) {
  Draw draw(request.seed);
  const std::size_t start = draw.below(kStarts);
  const std::string& passage = essay_sentence(find_passage(draw.below(kStarts) + kStarts));
  const std::vector<std::string> words = words_of(passage);
  const std::string given = joined(words, 0, kGivenWords);
  TaskDraft result;
  result.references = {joined(words, kGivenWords, kAskedWords)};
  result.build = [passage, given, start, depth = static_cast<std::size_t>(request.depth)](
                     std::size_t sentences) {
    const std::size_t before = sentences * depth / 100;
    std::string text;
    for (std::size_t i = 0; i <= sentences; ++i) {
      // The passage comes on top of the text around it.
      const std::size_t at = i < before ? i : i - 1;
      text += (text.empty() ? "" : " ") + (i == before ? passage : essay_sentence(start + at));
    }
    return Prompt{.context =
                      "Read the following text. I will ask you to repeat a part of it word "
                      "for word.\n" +
                      text,
                  .question = "\nRepeat the sentence of the text that begins with \"" + given +
                              "\". " + given};
  };
  return result;
}

double score(std::string_view answer, std::span<const std::string> references) {
  const std::vector<std::string> wanted = words_of(references.front());
  const std::vector<std::string> said = words_of(answer);
  std::size_t right = 0;
  while (right < wanted.size() && right < said.size() && said[right] == wanted[right]) {
    ++right;
  }
  return static_cast<double>(right) / static_cast<double>(wanted.size());
}

}  // namespace

constinit const TaskInfo kCopy{.name = "copy",
                               .summary = "a sentence repeated word for word",
                               .answer_tokens = 48,
                               .draft = draft,
                               .score = score};

}  // namespace kvg::datasets
