#pragma once

#include <cstddef>
#include <string_view>

namespace kvg {

/// True when brackets and braces of a JSON text lie more than 256 deep. What reads JSON asks first:
/// values are written and compared by recursion, which a hostile file must not run out of stack.
[[nodiscard]] inline bool nests_too_deep(std::string_view json) {
  constexpr std::size_t kDeepest = 256;
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char letter = json[i];
    if (quoted) {
      i += letter == '\\' ? 1 : 0;
      quoted = letter != '"';
    } else if (letter == '"') {
      quoted = true;
    } else if (letter == '[' || letter == '{') {
      if (++depth > kDeepest) {
        return true;
      }
    } else if ((letter == ']' || letter == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace kvg
