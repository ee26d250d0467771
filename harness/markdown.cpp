#include "harness/markdown.h"

namespace kvg::harness {

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
      default:
        out += static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F ? ' ' : letter;
    }
  }
  return out;
}

}  // namespace kvg::harness
