#include "datasets/sample.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::datasets {

std::vector<std::vector<std::int32_t>> cut_samples(std::span<const std::int32_t> ids,
                                                   std::optional<std::int32_t> bos,
                                                   std::int32_t max_tokens,
                                                   std::int32_t num_samples) {
  KVG_EXPECT(max_tokens >= 2, "a sample needs 2 tokens, one to feed and one to score");
  KVG_EXPECT(num_samples >= 1, "at least one sample");
  const auto most = static_cast<std::size_t>(bos ? max_tokens - 1 : max_tokens);
  std::vector<std::vector<std::int32_t>> samples;
  while (!ids.empty() && samples.size() < static_cast<std::size_t>(num_samples)) {
    const auto stretch = ids.first(std::min(most, ids.size()));
    ids = ids.subspan(stretch.size());
    auto& sample = samples.emplace_back();
    if (bos) {
      sample.push_back(*bos);
    }
    sample.insert(sample.end(), stretch.begin(), stretch.end());
  }
  return samples;
}

}  // namespace kvg::datasets
