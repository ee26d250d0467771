#include "harness/report/html_text.h"

#include <array>
#include <openssl/evp.h>

#include "kernels/core/error.h"

namespace kvg::harness::report {
namespace {

constexpr std::size_t kHashBytes = 32;
// Base64 holds 3 bytes in 4 letters, and ends with a zero.
constexpr std::size_t kHashLetters = (kHashBytes + 2) / 3 * 4 + 1;

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F ? ' ' : letter;
    }
  }
  return out;
}

std::string html_json(std::string_view json) {
  std::string out;
  for (const char letter : json) {
    // Outside of strings JSON has no such character.
    out += letter == '<' ? "\\u003c" : std::string(1, letter);
  }
  return out;
}

std::string content_hash(std::string_view content) {
  std::array<unsigned char, kHashBytes> hash{};
  KVG_EXPECT(
      EVP_Digest(content.data(), content.size(), hash.data(), nullptr, EVP_sha256(), nullptr),
      "SHA-256 must be available");
  std::array<unsigned char, kHashLetters> letters{};
  const int length = EVP_EncodeBlock(letters.data(), hash.data(), kHashBytes);
  return "'sha256-" + std::string(letters.begin(), letters.begin() + length) + "'";
}

}  // namespace kvg::harness::report
