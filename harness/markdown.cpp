#include "harness/markdown.h"

#include <algorithm>

namespace kvg::harness {

namespace {

char printable(char letter) {
  return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F ? ' ' : letter;
}

}  // namespace

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '|':
        out += "&#124;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '[':
        out += "&#91;";
        break;
      case '`':
        out += "&#96;";
        break;
      case '*':
        out += "&#42;";
        break;
      case '\\':
        out += "&#92;";
        break;
      default:
        out += printable(letter);
    }
  }
  return out;
}

std::string markdown_code(std::string_view text) {
  std::string code;
  std::size_t run = 0;
  std::size_t longest = 0;
  for (const char letter : text) {
    run = letter == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
    code += printable(letter);
  }
  // A fence longer than any run of backticks inside ends nowhere but at its end.
  const std::string fence(longest + 1, '`');
  const char* const apart = longest > 0 ? " " : "";
  return fence + apart + code + apart + fence;
}

}  // namespace kvg::harness
