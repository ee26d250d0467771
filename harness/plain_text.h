#pragma once

#include <string>
#include <string_view>

namespace kvg::harness {

/// True of a text without bytes that a terminal acts on, such as an end of line.
[[nodiscard]] bool is_plain(std::string_view text);

/// The text with a space for each such byte: names of strangers' files are part of messages.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace kvg::harness
