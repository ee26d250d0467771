#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/metric.h"

namespace kvg::datasets {

/// Words between white space, as written.
[[nodiscard]] std::vector<std::string> split_words(std::string_view text);

/// Maximal runs of decimal digits.
[[nodiscard]] std::vector<std::string> split_numbers(std::string_view text);

/// With the letters of every script lower-cased; what is no UTF-8 becomes U+FFFD.
[[nodiscard]] std::string lower_case(std::string_view text);

/// The harmonic mean of `same` over `answered` and `same` over `wanted`; 0 when nothing is the
/// same.
[[nodiscard]] double f1_of(std::size_t same, std::size_t answered, std::size_t wanted);

/// The share of the answer's numbers that are `number`; 0 without any.
[[nodiscard]] double share_of_number(std::string_view answer, std::string_view number);

/// The best of `score(reference)` over all references.
template <typename Score>
[[nodiscard]] double best_of(const AnswerKey& key, const Score& score) {
  double best = 0.0;
  for (const std::string& reference : key.references) {
    best = std::max(best, score(reference));
  }
  return best;
}

/// Length of the longest common subsequence of two ranges with random access.
template <typename Range>
[[nodiscard]] std::size_t longest_common(const Range& left, const Range& right) {
  // lengths[j]: of what has been read of `left` and the first j of `right`.
  std::vector<std::size_t> lengths(right.size() + 1, 0);
  for (const auto& item : left) {
    std::size_t diagonal = 0;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t above = lengths[j + 1];
      lengths[j + 1] = item == right[j] ? diagonal + 1 : std::max(above, lengths[j]);
      diagonal = above;
    }
  }
  return lengths.back();
}

}  // namespace kvg::datasets
