#pragma once

#include <string>
#include <string_view>

#include "harness/columns.h"

namespace kvg::harness {

/// Ends a line of CSV (RFC 4180).
inline constexpr std::string_view kEndOfCsvLine = "\r\n";

/// One field, quoted where it must be; no figure is an empty field, a real the shortest text that
/// reads back as the same number.
[[nodiscard]] std::string csv_field(const Value& value);

}  // namespace kvg::harness
