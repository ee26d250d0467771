#include "harness/csv.h"

#include <array>
#include <charconv>

namespace kvg::harness {
namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    return text;
  }
  std::string result = "\"";
  for (const char letter : text) {
    result += letter == '"' ? "\"\"" : std::string(1, letter);
  }
  return result + "\"";
}

struct ToField {
  std::string operator()(std::monostate /*none*/) const { return {}; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(double value) const {
    std::array<char, 64> text{};
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end};
  }
};

}  // namespace

std::string csv_field(const Value& value) {
  return std::visit(ToField{}, value);
}

}  // namespace kvg::harness
