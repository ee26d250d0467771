#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace kvg::harness {

/// What the numbers of a list may be, and what messages call it.
struct NumberRange {
  std::string_view flag;
  std::int32_t min = 0;
  std::int32_t max = 0;
};

/// "500,1000,1900", and ranges that include both ends: "0-100+25" by steps, "256-4096*2" by
/// factors. Throws InvalidArgument for anything else, for a number out of range and for more than
/// 1000.
[[nodiscard]] std::vector<std::int32_t> parse_numbers(std::string_view text,
                                                      const NumberRange& allowed);

}  // namespace kvg::harness
