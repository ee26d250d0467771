#include "harness/csv.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/columns.h"
#include "harness/json_document.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

std::string header() {
  std::string line;
  for (const Column& column : columns()) {
    std::string key(column.key);
    std::ranges::replace(key, '.', '_');
    line += key + ",";
  }
  return line + "samples" + std::string(kEndOfCsvLine);
}

Value value_of(const Json& record, std::string_view key) {
  const std::size_t dot = key.find('.');
  const auto member = record.find(std::string(key.substr(0, dot)));
  if (member == record.end()) {
    return {};
  }
  if (dot != std::string_view::npos) {
    return member->is_object() ? value_of(*member, key.substr(dot + 1)) : Value();
  }
  if (member->is_string()) {
    return member->get<std::string>();
  }
  if (member->is_boolean()) {
    return member->get<bool>();
  }
  if (member->is_number_integer()) {
    return member->get<std::int64_t>();
  }
  return member->is_number() ? Value(member->get<double>()) : Value();
}

// Of a record as to_json() writes it, so that one that was read back makes the same row.
std::string row(const Json& record) {
  std::string line;
  for (const Column& column : columns()) {
    line += csv_field(value_of(record, column.key)) + ",";
  }
  const auto samples = record.find("samples");
  return line + std::to_string(samples == record.end() ? 0 : samples->size()) +
         std::string(kEndOfCsvLine);
}

class CsvReporter final : public Reporter {
 public:
  explicit CsvReporter(Rewrite rewrite) : rewrite_(std::move(rewrite)), document_(header()) {}

  void recall(std::span<const Json> lines) override {
    for (const Json& line : lines) {
      document_ += row(line);
    }
    rewrite_(document_);
  }

  void add(const Record& record) override {
    document_ += row(to_json(record));
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
