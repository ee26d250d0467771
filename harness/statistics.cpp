#include "harness/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/core/error.h"

namespace kvg::harness {

double mean(std::span<const double> values) {
  KVG_EXPECT(!values.empty(), "a mean is of at least one value");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(std::span<const double> values) {
  return quantile(values, 0.5);
}

double sample_deviation(std::span<const double> values) {
  if (values.size() < 2) {
    return 0.0;
  }
  const double centre = mean(values);
  // Two passes: the squares of log-likelihoods would lose digits against their mean.
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - centre) * (value - centre);
  }
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double quantile(std::span<const double> values, double fraction) {
  KVG_EXPECT(!values.empty(), "a quantile is of at least one value");
  KVG_EXPECT(fraction >= 0.0 && fraction <= 1.0, "a quantile is a share");
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

Interval bootstrap_interval(std::span<const std::vector<double>> groups, std::uint64_t seed) {
  KVG_EXPECT(!groups.empty(), "an interval is of at least one group");
  constexpr std::size_t kResamples = 1000;
  // The engine is specified to the bit, the standard distributions are not.
  std::mt19937_64 engine(seed);
  std::vector<double> means;
  for (std::size_t i = 0; i < kResamples; ++i) {
    double sum = 0.0;
    for (const std::vector<double>& group : groups) {
      double drawn = 0.0;
      for (std::size_t j = 0; j < group.size(); ++j) {
        drawn += group[engine() % group.size()];
      }
      sum += drawn / static_cast<double>(group.size());
    }
    means.push_back(sum / static_cast<double>(groups.size()));
  }
  return {.low = quantile(means, 0.025), .high = quantile(means, 0.975)};
}

Perplexity perplexity(std::span<const double> nll) {
  const double value = std::exp(mean(nll));
  return {
      .value = value,
      .standard_error = value * sample_deviation(nll) / std::sqrt(static_cast<double>(nll.size()))};
}

}  // namespace kvg::harness
