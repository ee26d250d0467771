// ROUGE-L (Lin 2004, aclanthology.org/W04-1013): the F1 of the longest common subsequence of words,
// as written, over the whole text. LongBench's tool joins it sentence by sentence and counts
// different words, which differs where a text has several sentences or repeats a word.

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

double score(std::string_view answer, const AnswerKey& key) {
  const std::vector<std::string> given = split_words(answer);
  return best_of(key, [&given](const std::string& reference) {
    const std::vector<std::string> wanted = split_words(reference);
    return f1_of(longest_common(given, wanted), given.size(), wanted.size());
  });
}

}  // namespace

constinit const MetricInfo kRougeL{
    .name = "rouge_l",
    .summary = "F1 of the longest common subsequence of words; the best of all references",
    .score = score};

}  // namespace kvg::datasets
