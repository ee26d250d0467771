#pragma once

#include <string>
#include <string_view>

namespace kvg::harness {

/// Text as a cell of a Markdown table: what would end the cell or begin HTML, a link, code or
/// emphasis is written as an entity, control characters as spaces.
[[nodiscard]] std::string markdown_cell(std::string_view text);

/// Text as code within a line, whatever backticks it holds.
[[nodiscard]] std::string markdown_code(std::string_view text);

}  // namespace kvg::harness
