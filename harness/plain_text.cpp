#include "harness/plain_text.h"

#include <algorithm>

namespace kvg::harness {
namespace {

bool is_control(char letter) {
  return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f;
}

}  // namespace

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, is_control);
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, is_control, ' ');
  return text;
}

}  // namespace kvg::harness
