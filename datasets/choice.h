#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace kvg::datasets {

/// Which continuation is the likeliest, by two rules; ties go to the first.
struct Chosen {
  std::size_t by_sum = 0;   ///< of the tokens' log-likelihoods
  std::size_t by_mean = 0;  ///< of the sum over the characters of the continuation as it is
                            ///< written, its leading space aside
};

/// `log_likelihoods` are of the choices, of which there is at least one.
[[nodiscard]] Chosen choose(std::span<const double> log_likelihoods,
                            std::span<const std::string> choices);

}  // namespace kvg::datasets
