#include "harness/csv.h"

#include <algorithm>
#include <string>

#include "harness/columns.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

std::string header() {
  std::string line;
  for (const Column& column : columns()) {
    std::string key(column.key);
    std::ranges::replace(key, '.', '_');
    line += key + ",";
  }
  return line + "samples" + std::string(kEndOfCsvLine);
}

std::string row(const Record& record) {
  std::string line;
  for (const Column& column : columns()) {
    line += csv_field(column.get(record)) + ",";
  }
  return line + std::to_string(record.samples.size()) + std::string(kEndOfCsvLine);
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
