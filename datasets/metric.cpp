#include "datasets/metric.h"

#include <algorithm>
#include <array>

#include "datasets/metrics/metrics.h"

namespace kvg::datasets {

std::span<const MetricInfo> metrics() {
  static const std::array kMetrics{kQuestionF1,
                                   kRougeL,
                                   kClassification,
                                   kRetrieval,
                                   kCount,
                                   kEditSimilarity,
                                   kStringMatchAll,
                                   kStringMatchPart};
  return kMetrics;
}

const MetricInfo* find_metric(std::string_view name) {
  const auto all = metrics();
  const auto found = std::ranges::find(all, name, &MetricInfo::name);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace kvg::datasets
