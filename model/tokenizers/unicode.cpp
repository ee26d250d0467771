#include "model/tokenizers/unicode.h"

#include <limits>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include "kernels/core/error.h"
#include "kernels/core/utf8.h"

namespace kvg::model {

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const auto tail = [&](std::size_t i) { return static_cast<std::int32_t>(byte(i) & 0x3FU); };
  const auto lead = static_cast<std::int32_t>(byte(0));
  if (lead < 0x80) {
    return {lead, 1};
  }
  if (lead < 0xE0) {
    return {(lead & 0x1F) * 64 + tail(1), 2};
  }
  if (lead < 0xF0) {
    return {((lead & 0x0F) * 64 + tail(1)) * 64 + tail(2), 3};
  }
  return {(((lead & 0x07) * 64 + tail(1)) * 64 + tail(2)) * 64 + tail(3), 4};
}

std::int32_t code_point_before(std::string_view text, std::size_t at) {
  do {
    --at;
  } while ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U);
  return code_point_at(text, at).value;
}

bool is_white_space(std::int32_t code_point) {
  return u_isUWhiteSpace(code_point) != 0;
}

bool is_numeric(std::int32_t code_point) {
  return (U_GET_GC_MASK(code_point) & U_GC_N_MASK) != 0;
}

bool is_word_character(std::int32_t code_point) {
  constexpr std::uint32_t kMask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(code_point) != 0 || (U_GET_GC_MASK(code_point) & kMask) != 0 ||
         u_hasBinaryProperty(code_point, UCHAR_JOIN_CONTROL) != 0;
}

std::string nfc(std::string_view text) {
  constexpr std::size_t kLongest = std::numeric_limits<std::int32_t>::max();
  if (text.size() > kLongest) {
    throw InvalidArgument("a text of " + std::to_string(text.size()) +
                          " bytes is too long to normalise; allowed: " + std::to_string(kLongest));
  }
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = icu::Normalizer2::getNFCInstance(error);
  std::string out;
  if (U_SUCCESS(error)) {
    out.reserve(text.size());
    icu::StringByteSink<std::string> sink(&out);
    const icu::StringPiece piece(text.data(), static_cast<std::int32_t>(text.size()));
    normalizer->normalizeUTF8(0, piece, sink, nullptr, error);
  }
  if (U_FAILURE(error)) {
    throw Error(std::string("normalisation to NFC failed: ") + u_errorName(error));
  }
  return out;
}

void expect_utf8(std::string_view text) {
  const std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    throw DataError("the text is not UTF-8: invalid at byte " + std::to_string(bad));
  }
}

}  // namespace kvg::model
