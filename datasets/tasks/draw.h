#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// What tasks draw their samples from. The engine is specified to the bit and the standard
/// distributions are not, so that a seed draws the same everywhere.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}

  /// In [0, count); count > 0.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(engine_() % count); }

  /// A number of so many decimal digits, the first not 0.
  std::string digits(int count);

  /// `count` different ones of [0, total), in any order.
  std::vector<std::size_t> some_of(std::size_t total, std::size_t count);

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[below(i)]);
    }
  }

 private:
  std::mt19937_64 engine_;
};

/// Common English nouns, all different.
[[nodiscard]] std::span<const std::string_view> nouns();

/// Sentences of the shipped novel, on one line each; unit i is sentence i, from the first again
/// after the last.
[[nodiscard]] const std::string& essay_sentence(std::size_t index);

/// Adds a sentence to a text, after a space unless a line begins there.
void add_sentence(std::string_view sentence, std::string& text);

/// Ends the last line of a text, where it is not ended.
void end_line(std::string& text);

/// Adds a sentence on a line of its own.
void add_line(std::string_view sentence, std::string& text);

/// The filler that needle tests repeat.
inline constexpr std::string_view kFiller =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

/// The share of references that the answer holds, case aside: RULER's string_match_all.
[[nodiscard]] double score_all(std::string_view answer, std::span<const std::string> references);

}  // namespace kvg::datasets
