#include "datasets/choice.h"

#include <algorithm>
#include <vector>

#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

// Characters of UTF-8 text after its leading space.
double length_of(const std::string& choice) {
  const auto begin = choice.begin() + (choice.starts_with(' ') ? 1 : 0);
  const auto count = std::count_if(begin, choice.end(), [](char letter) {
    return (static_cast<unsigned char>(letter) & 0xC0U) != 0x80U;
  });
  return static_cast<double>(std::max<std::ptrdiff_t>(count, 1));
}

std::size_t largest(std::span<const double> values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace

Chosen choose(std::span<const double> log_likelihoods, std::span<const std::string> choices) {
  KVG_EXPECT(!choices.empty() && log_likelihoods.size() == choices.size(),
             "every choice has a likelihood");
  std::vector<double> means;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    means.push_back(log_likelihoods[i] / length_of(choices[i]));
  }
  return {.by_sum = largest(log_likelihoods), .by_mean = largest(means)};
}

}  // namespace kvg::datasets
