// LongBench's passage retrieval and counting (Bai et al. 2023, arXiv:2308.14508): the share of the
// answer's numbers that are the right one.

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

// The number of "Paragraph 12"; a reference without any is never answered.
double score_passage(std::string_view answer, const AnswerKey& key) {
  return best_of(key, [answer](const std::string& reference) {
    const std::vector<std::string> numbers = split_numbers(reference);
    return numbers.empty() ? 0.0 : share_of_number(answer, numbers.front());
  });
}

double score_count(std::string_view answer, const AnswerKey& key) {
  return best_of(
      key, [answer](const std::string& reference) { return share_of_number(answer, reference); });
}

}  // namespace

constinit const MetricInfo kRetrieval{
    .name = "retrieval",
    .summary = "share of the answer's numbers that are the right passage's",
    .score = score_passage};

constinit const MetricInfo kCount{.name = "count",
                                  .summary = "share of the answer's numbers that are the right one",
                                  .score = score_count};

}  // namespace kvg::datasets
