#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"
#include "harness/run_document.h"

namespace kvg::harness {
namespace {

class JsonlReporter final : public Reporter {
 public:
  explicit JsonlReporter(AppendLine append) : append_(std::move(append)) {}

  void begin_run(const Environment& environment) override { environment_ = to_json(environment); }

  void add(const Record& record) override {
    nlohmann::ordered_json line = {{"schema", kRecordSchema}};
    line.update(to_json(record));
    // Files are appended to by many runs, so that every line tells where it comes from.
    line["environment"] = environment_;
    append_(line);
  }

 private:
  AppendLine append_;
  nlohmann::ordered_json environment_;
};

}  // namespace

std::unique_ptr<Reporter> make_jsonl_reporter(AppendLine append) {
  return std::make_unique<JsonlReporter>(std::move(append));
}

}  // namespace kvg::harness
