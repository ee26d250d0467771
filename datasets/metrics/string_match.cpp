// RULER's scores (Hsieh et al. 2024, arXiv:2404.06654): references that the answer holds, case
// aside.

#include "datasets/metrics/metrics.h"
#include "datasets/tasks/draw.h"

namespace kvg::datasets {
namespace {

double score_all_of(std::string_view answer, const AnswerKey& key) {
  return score_all(answer, key.references);
}

double score_any_of(std::string_view answer, const AnswerKey& key) {
  return score_all(answer, key.references) > 0.0 ? 1.0 : 0.0;
}

}  // namespace

constinit const MetricInfo kStringMatchAll{.name = "string_match_all",
                                           .summary = "share of the references that it holds",
                                           .score = score_all_of};

constinit const MetricInfo kStringMatchPart{.name = "string_match_part",
                                            .summary = "1 when it holds any of the references",
                                            .score = score_any_of};

}  // namespace kvg::datasets
