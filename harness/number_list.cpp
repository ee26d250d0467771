#include "harness/number_list.h"

#include <charconv>
#include <string>

#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

constexpr std::size_t kMostNumbers = 1000;

[[noreturn]] void refuse(std::string_view text, const NumberRange& allowed) {
  throw InvalidArgument(std::string(allowed.flag) + " " + std::string(text) +
                        " is not understood; allowed: up to " + std::to_string(kMostNumbers) +
                        " whole numbers from " + std::to_string(allowed.min) + " to " +
                        std::to_string(allowed.max) +
                        " with commas between, and ranges such as 0-100+25 or 256-4096*2");
}

// Takes a number off the front of `rest`. False when there is none in range.
bool take(std::string_view& rest, std::int64_t least, std::int64_t most, std::int64_t& value) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc{} || rest.starts_with('-') || value < least || value > most) {
    return false;
  }
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

// One number or range. False when it is neither.
bool append(std::string_view item, const NumberRange& allowed, std::vector<std::int32_t>& numbers) {
  std::int64_t first = 0;
  if (!take(item, allowed.min, allowed.max, first)) {
    return false;
  }
  if (item.empty()) {
    numbers.push_back(static_cast<std::int32_t>(first));
    return true;
  }
  std::int64_t last = 0;
  std::int64_t by = 1;
  item.remove_prefix(1);
  if (item.data()[-1] != '-' || !take(item, first, allowed.max, last)) {
    return false;
  }
  const char how = item.empty() ? '+' : item.front();
  if (!item.empty()) {
    item.remove_prefix(1);
    // A factor takes a range from 0 or by 1 nowhere.
    const bool factor = how == '*';
    if ((how != '+' && !factor) || (factor && first == 0) ||
        !take(item, factor ? 2 : 1, allowed.max, by) || !item.empty()) {
      return false;
    }
  }
  for (std::int64_t at = first; at <= last && numbers.size() <= kMostNumbers;
       at = how == '*' ? at * by : at + by) {
    numbers.push_back(static_cast<std::int32_t>(at));
  }
  return true;
}

}  // namespace

std::vector<std::int32_t> parse_numbers(std::string_view text, const NumberRange& allowed) {
  std::vector<std::int32_t> numbers;
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    if (!append(rest.substr(0, comma), allowed, numbers) || numbers.size() > kMostNumbers) {
      refuse(text, allowed);
    }
    if (comma == std::string_view::npos) {
      return numbers;
    }
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace kvg::harness
