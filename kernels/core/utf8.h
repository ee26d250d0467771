#pragma once

#include <cstddef>
#include <string_view>

namespace kvg {

/// Offset of the first byte that begins no valid UTF-8 character (overlong forms, surrogates and
/// values above U+10FFFF are invalid), or npos when the whole text is valid.
[[nodiscard]] inline std::size_t first_invalid_utf8(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t i = 0;
  while (i < text.size()) {
    const unsigned lead = byte(i);
    if (lead < 0x80U) {
      ++i;
      continue;
    }
    if (lead < 0xC2U || lead > 0xF4U) {
      return i;
    }
    const std::size_t length = lead < 0xE0U ? 2 : (lead < 0xF0U ? 3 : 4);
    if (text.size() - i < length) {
      return i;
    }
    // The second byte's range rules out overlong forms, surrogates and too large values.
    const unsigned low = lead == 0xE0U ? 0xA0U : (lead == 0xF0U ? 0x90U : 0x80U);
    const unsigned high = lead == 0xEDU ? 0x9FU : (lead == 0xF4U ? 0x8FU : 0xBFU);
    if (byte(i + 1) < low || byte(i + 1) > high) {
      return i;
    }
    for (std::size_t k = 2; k < length; ++k) {
      if ((byte(i + k) & 0xC0U) != 0x80U) {
        return i;
      }
    }
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace kvg
