#include "datasets/metrics/words.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

namespace kvg::datasets {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kSpace = " \t\n\r\v\f";

bool in(std::string_view set, char letter) {
  return set.find(letter) != std::string_view::npos;
}

// Maximal runs of characters that `belongs` takes.
template <typename Belongs>
std::vector<std::string> runs_of(std::string_view text, const Belongs& belongs) {
  std::vector<std::string> runs;
  bool inside = false;
  for (const char letter : text) {
    const bool now = belongs(letter);
    if (now && !inside) {
      runs.emplace_back();
    }
    if (now) {
      runs.back() += letter;
    }
    inside = now;
  }
  return runs;
}

}  // namespace

std::vector<std::string> split_words(std::string_view text) {
  return runs_of(text, [](char letter) { return !in(kSpace, letter); });
}

std::vector<std::string> split_numbers(std::string_view text) {
  return runs_of(text, [](char letter) { return in(kDigits, letter); });
}

std::string lower_case(std::string_view text) {
  const icu::StringPiece piece(text.data(), static_cast<std::int32_t>(text.size()));
  std::string lower;
  icu::UnicodeString::fromUTF8(piece).toLower(icu::Locale::getRoot()).toUTF8String(lower);
  return lower;
}

double f1_of(std::size_t same, std::size_t answered, std::size_t wanted) {
  return same == 0 ? 0.0 : 2.0 * static_cast<double>(same) / static_cast<double>(answered + wanted);
}

double share_of_number(std::string_view answer, std::string_view number) {
  const std::vector<std::string> numbers = split_numbers(answer);
  if (numbers.empty()) {
    return 0.0;
  }
  return static_cast<double>(std::ranges::count(numbers, number)) /
         static_cast<double>(numbers.size());
}

}  // namespace kvg::datasets
