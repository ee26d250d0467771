// LongBench's classification (Bai et al. 2023, arXiv:2308.14508): one over the number of class
// names that the answer holds, when the right one is among them. A name that is part of the right
// one is not counted beside it.

#include "datasets/metrics/metrics.h"
#include "datasets/metrics/words.h"

namespace kvg::datasets {
namespace {

double score_one(std::string_view answer,
                 const std::vector<std::string>& classes,
                 const std::string& wanted) {
  std::size_t named = 0;
  bool right = false;
  for (const std::string& name : classes) {
    const bool part = name != wanted && wanted.find(name) != std::string::npos;
    if (!part && answer.find(name) != std::string_view::npos) {
      ++named;
      right = right || name == wanted;
    }
  }
  return right ? 1.0 / static_cast<double>(named) : 0.0;
}

double score(std::string_view answer, const AnswerKey& key) {
  return best_of(key,
                 [&](const std::string& wanted) { return score_one(answer, key.classes, wanted); });
}

}  // namespace

constinit const MetricInfo kClassification{
    .name = "classification",
    .summary = "1 over the class names that the answer holds, when the right one is among them",
    .score = score};

}  // namespace kvg::datasets
