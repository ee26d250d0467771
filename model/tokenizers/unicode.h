#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kvg::model {

/// One character of a valid UTF-8 text.
struct CodePoint {
  std::int32_t value = 0;
  std::size_t bytes = 1;
};

/// The character that begins at byte `at` of valid UTF-8, and the one that ends before it.
[[nodiscard]] CodePoint code_point_at(std::string_view text, std::size_t at);
[[nodiscard]] std::int32_t code_point_before(std::string_view text, std::size_t at);

/// Unicode's White_Space; general categories Nd, Nl, No; what a regular expression calls \w.
[[nodiscard]] bool is_white_space(std::int32_t code_point);
[[nodiscard]] bool is_numeric(std::int32_t code_point);
[[nodiscard]] bool is_word_character(std::int32_t code_point);

/// Unicode normalisation form C of valid UTF-8.
[[nodiscard]] std::string nfc(std::string_view text);

/// Throws DataError naming the byte when `text` is not UTF-8.
void expect_utf8(std::string_view text);

}  // namespace kvg::model
