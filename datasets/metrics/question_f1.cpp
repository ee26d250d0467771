// The F1 of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250) that LongBench scores answers with:
// both sides lower-cased, without ASCII punctuation and without a, an, the; then words are counted.

#include <map>

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

std::vector<std::string> normal_words(std::string_view text) {
  std::string plain = lower_case(text);
  std::erase_if(plain,
                [](char letter) { return kPunctuation.find(letter) != std::string_view::npos; });
  std::vector<std::string> words = split_words(plain);
  std::erase_if(
      words, [](const std::string& word) { return word == "a" || word == "an" || word == "the"; });
  return words;
}

double f1(std::string_view answer, std::string_view reference) {
  const std::vector<std::string> given = normal_words(answer);
  const std::vector<std::string> wanted = normal_words(reference);
  std::map<std::string, std::size_t> left;
  for (const std::string& word : wanted) {
    ++left[word];
  }
  std::size_t same = 0;
  for (const std::string& word : given) {
    const auto found = left.find(word);
    if (found != left.end() && found->second > 0) {
      --found->second;
      ++same;
    }
  }
  return f1_of(same, given.size(), wanted.size());
}

double score(std::string_view answer, const AnswerKey& key) {
  return best_of(key, [answer](const std::string& reference) { return f1(answer, reference); });
}

}  // namespace

constinit const MetricInfo kQuestionF1{
    .name = "qa_f1",
    .summary = "F1 of words, without case, punctuation and articles; the best of all references",
    .score = score};

}  // namespace kvg::datasets
