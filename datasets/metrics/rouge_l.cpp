// ROUGE-L of a summary (Lin 2004, aclanthology.org/W04-1013) as LongBench scores with it (the
// Python package rouge 1.0.1): sentences end at every '.'; of each pair of them the words of the
// longest common subsequence are marked, and the F1 is of different words: marked, answered,
// wanted. Words are taken as written. That package gives 0 to sentences too long for its
// recursion (about 1000 words of both), and adds 1e-8 below the fraction; neither is done here.

#include <set>

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

using Sentence = std::vector<std::string>;

// What lies between two dots is a sentence if it is anything; white space alone is an empty word.
std::vector<Sentence> sentences_of(std::string_view text) {
  std::vector<Sentence> sentences;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, text.find('.'));
    text.remove_prefix(std::min(piece.size() + 1, text.size()));
    if (!piece.empty()) {
      sentences.push_back(split_words(piece));
      if (sentences.back().empty()) {
        sentences.back().emplace_back();
      }
    }
  }
  return sentences;
}

std::set<std::string> words_of(const std::vector<Sentence>& sentences) {
  std::set<std::string> words;
  for (const Sentence& sentence : sentences) {
    words.insert(sentence.begin(), sentence.end());
  }
  return words;
}

// Adds the words of a longest common subsequence; of several, the one that the package finds.
void mark(const Sentence& wanted, const Sentence& given, std::set<std::string>& marked) {
  const std::size_t width = given.size() + 1;
  // lengths[i * width + j]: of the first i words wanted and the first j given.
  std::vector<std::uint32_t> lengths((wanted.size() + 1) * width, 0);
  const auto at = [&lengths, width](std::size_t i, std::size_t j) -> std::uint32_t& {
    return lengths[i * width + j];
  };
  for (std::size_t i = 1; i <= wanted.size(); ++i) {
    for (std::size_t j = 1; j <= given.size(); ++j) {
      at(i, j) = wanted[i - 1] == given[j - 1] ? at(i - 1, j - 1) + 1
                                               : std::max(at(i - 1, j), at(i, j - 1));
    }
  }
  std::size_t i = wanted.size();
  std::size_t j = given.size();
  while (i > 0 && j > 0) {
    if (wanted[i - 1] == given[j - 1]) {
      marked.insert(wanted[i - 1]);
      --i;
      --j;
    } else if (at(i - 1, j) > at(i, j - 1)) {
      --i;
    } else {
      --j;
    }
  }
}

double score(std::string_view answer, const AnswerKey& key) {
  const std::vector<Sentence> given = sentences_of(answer);
  return best_of(key, [&given](const std::string& reference) {
    const std::vector<Sentence> wanted = sentences_of(reference);
    std::set<std::string> marked;
    for (const Sentence& one : wanted) {
      for (const Sentence& other : given) {
        mark(one, other, marked);
      }
    }
    return f1_of(marked.size(), words_of(given).size(), words_of(wanted).size());
  });
}

}  // namespace

constinit const MetricInfo kRougeL{
    .name = "rouge_l",
    .summary = "F1 of the words common in order, sentence by sentence; the best of all references",
    .score = score};

}  // namespace kvg::datasets
