// LongBench's code completion (Bai et al. 2023, arXiv:2308.14508): the Levenshtein ratio of the
// answer's first line that is code, 1 - (insertions + deletions) / (both lengths), which is twice
// the longest common subsequence of characters over both lengths. Not rounded to percent.

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

// A line with a fence or a comment is no code.
bool is_code(std::string_view line) {
  return line.find_first_of("`#") == std::string_view::npos &&
         line.find("//") == std::string_view::npos;
}

// The first line of code after empty ones; empty when there is none.
std::string_view first_code_line(std::string_view answer) {
  answer.remove_prefix(std::min(answer.find_first_not_of('\n'), answer.size()));
  while (!answer.empty()) {
    const std::string_view line = answer.substr(0, answer.find('\n'));
    if (is_code(line)) {
      return line;
    }
    answer.remove_prefix(std::min(line.size() + 1, answer.size()));
  }
  return answer;
}

// Characters of UTF-8 text, each with the bytes that continue it.
std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> result;
  for (const char letter : text) {
    const bool continues = (static_cast<unsigned char>(letter) & 0xC0U) == 0x80U;
    if (!continues || result.empty()) {
      result.emplace_back();
    }
    result.back() += letter;
  }
  return result;
}

double score(std::string_view answer, const AnswerKey& key) {
  const std::vector<std::string> given = characters(first_code_line(answer));
  return best_of(key, [&given](const std::string& reference) {
    const std::vector<std::string> wanted = characters(reference);
    return f1_of(longest_common(given, wanted), given.size(), wanted.size());
  });
}

}  // namespace

constinit const MetricInfo kEditSimilarity{
    .name = "edit_similarity",
    .summary = "Levenshtein ratio of the answer's first line of code; the best of all references",
    .score = score};

}  // namespace kvg::datasets
