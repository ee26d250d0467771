#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// What an answer is held to.
struct AnswerKey {
  std::vector<std::string> references;
  std::vector<std::string> classes{};  ///< all names that a classification may answer
};

/// One row of the table of metrics: how an answer is scored as the benchmark's paper does it.
struct MetricInfo {
  std::string_view name;
  std::string_view summary;
  /// 0 to 1; `key` has at least one reference.
  double (*score)(std::string_view answer, const AnswerKey& key) = nullptr;
};

/// Every metric.
[[nodiscard]] std::span<const MetricInfo> metrics();

/// Null when there is none of this name.
[[nodiscard]] const MetricInfo* find_metric(std::string_view name);

}  // namespace kvg::datasets
