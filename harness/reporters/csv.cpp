#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "harness/columns.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

constexpr std::string_view kEndOfLine = "\r\n";

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
    // The shortest text that reads back as the same number.
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end};
  }
};

std::string header() {
  std::string line;
  for (const Column& column : columns()) {
    std::string key(column.key);
    std::ranges::replace(key, '.', '_');
    line += key + ",";
  }
  return line + "samples" + std::string(kEndOfLine);
}

std::string row(const Record& record) {
  std::string line;
  for (const Column& column : columns()) {
    line += std::visit(ToField{}, column.get(record)) + ",";
  }
  return line + std::to_string(record.samples.size()) + std::string(kEndOfLine);
}

class CsvReporter final : public Reporter {
 public:
  explicit CsvReporter(Rewrite rewrite) : rewrite_(std::move(rewrite)), document_(header()) {}

  void add(const Record& record) override {
    document_ += row(record);
    rewrite_(document_);
  }

 private:
  Rewrite rewrite_;
  std::string document_;
};

}  // namespace

std::unique_ptr<Reporter> make_csv_reporter(Rewrite rewrite) {
  return std::make_unique<CsvReporter>(std::move(rewrite));
}

}  // namespace kvg::harness
