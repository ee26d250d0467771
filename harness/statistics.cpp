#include "harness/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

constexpr std::size_t kResamples = 1000;

Interval middle_95(std::span<const double> values) {
  return {.low = quantile(values, 0.025), .high = quantile(values, 0.975)};
}

// What 97.5 % of Student's distribution lies below, by degrees of freedom from 1 on.
constexpr std::array kStudent{12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818,
                              2.4469119,  2.3646243, 2.3060041, 2.2621572, 2.2281389,
                              2.2009852,  2.1788128, 2.1603687, 2.1447867, 2.1314495,
                              2.1199053,  2.1098156, 2.1009220, 2.0930241, 2.0859634};

// Beyond the table: the expansion by Cornish and Fisher around the normal one, off by less than
// 1e-6.
double student_quantile(std::size_t freedom) {
  if (freedom <= kStudent.size()) {
    return kStudent[freedom - 1];
  }
  constexpr double kZ = 1.959963984540054;
  constexpr double kZ2 = kZ * kZ;
  const auto v = static_cast<double>(freedom);
  return kZ * (1.0 + (kZ2 + 1.0) / (4.0 * v) + ((5.0 * kZ2 + 16.0) * kZ2 + 3.0) / (96.0 * v * v) +
               (((3.0 * kZ2 + 19.0) * kZ2 + 17.0) * kZ2 - 15.0) / (384.0 * v * v * v) +
               ((((79.0 * kZ2 + 776.0) * kZ2 + 1482.0) * kZ2 - 1920.0) * kZ2 - 945.0) /
                   (92160.0 * v * v * v * v));
}

}  // namespace

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
  return middle_95(means);
}

Interval bootstrap_interval(std::span<const Share> shares, std::uint64_t seed) {
  KVG_EXPECT(!shares.empty(), "an interval is of at least one share");
  std::mt19937_64 engine(seed);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < kResamples; ++i) {
    Share sum;
    for (std::size_t j = 0; j < shares.size(); ++j) {
      const Share& drawn = shares[engine() % shares.size()];
      sum.part += drawn.part;
      sum.whole += drawn.whole;
    }
    ratios.push_back(static_cast<double>(sum.part) / static_cast<double>(sum.whole));
  }
  return middle_95(ratios);
}

Interval student_interval(std::span<const double> values) {
  KVG_EXPECT(values.size() > 1, "Student's interval is of at least two values");
  const double half = student_quantile(values.size() - 1) * sample_deviation(values) /
                      std::sqrt(static_cast<double>(values.size()));
  const double centre = mean(values);
  return {.low = centre - half, .high = centre + half};
}

Perplexity perplexity(std::span<const double> nll) {
  const double value = std::exp(mean(nll));
  return {
      .value = value,
      .standard_error = value * sample_deviation(nll) / std::sqrt(static_cast<double>(nll.size()))};
}

}  // namespace kvg::harness
