#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "datasets/metric.h"

namespace kvg::datasets {

/// One of LongBench's sets: how it is asked and judged.
struct LongBenchSet {
  std::string_view name;
  const MetricInfo& metric;
  std::int32_t answer_tokens = 0;
  bool first_line = false;    ///< its answers are one line
  std::string_view before{};  ///< the context
  std::string_view after{};   ///< it; {input} is the question
};

/// By the name of LongBench or LongBench-E ("qasper_e"); null for others.
[[nodiscard]] const LongBenchSet* find_longbench_set(std::string_view name);

/// True of a set of LongBench that it judges by words which cannot be told apart here.
[[nodiscard]] bool is_unjudged_longbench_set(std::string_view name);

/// Every set that can be found, for messages.
[[nodiscard]] std::string longbench_set_names();

}  // namespace kvg::datasets
