#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kvg::harness {

/// All take at least one value.
[[nodiscard]] double mean(std::span<const double> values);
[[nodiscard]] double median(std::span<const double> values);

/// Divides by n - 1; 0 for a single value.
[[nodiscard]] double sample_deviation(std::span<const double> values);

/// The value below which a share of `fraction` lies, between neighbours linearly; fraction in
/// [0, 1].
[[nodiscard]] double quantile(std::span<const double> values, double fraction);

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// The 95 % interval of the mean over groups of their means, by 1000 seeded resamples of each group
/// within itself. At least one group, none of them empty.
[[nodiscard]] Interval bootstrap_interval(std::span<const std::vector<double>> groups,
                                          std::uint64_t seed);

/// The Student 95 % interval of the mean of at least two values.
[[nodiscard]] Interval student_interval(std::span<const double> values);

/// Some of how many.
struct Share {
  std::int64_t part = 0;
  std::int64_t whole = 0;
};

/// The 95 % interval of all parts over all wholes, by 1000 seeded resamples of the shares. At least
/// one, none of an empty whole.
[[nodiscard]] Interval bootstrap_interval(std::span<const Share> shares, std::uint64_t seed);

struct Perplexity {
  double value = 0.0;           ///< exp(mean)
  double standard_error = 0.0;  ///< value x deviation / sqrt(n)
};

/// Of the negative log-likelihoods of the scored tokens.
[[nodiscard]] Perplexity perplexity(std::span<const double> nll);

}  // namespace kvg::harness
