#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

class JsonlReporter final : public Reporter {
 public:
  explicit JsonlReporter(std::ostream& out) : out_(out) {}

  void begin_run(const Environment& environment) override { environment_ = to_json(environment); }

  void add(const Record& record) override {
    nlohmann::ordered_json line = {{"schema", "kvgauge.record/1"}};
    line.update(to_json(record));
    // Files are appended to by many runs, so that every line tells where it comes from.
    line["environment"] = environment_;
    out_ << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
         << std::endl;
    if (!out_) {
      throw DataError("the record of " + record.method + " could not be appended to --jsonl");
    }
  }

 private:
  std::ostream& out_;
  nlohmann::ordered_json environment_;
};

}  // namespace

std::unique_ptr<Reporter> make_jsonl_reporter(std::ostream& out) {
  return std::make_unique<JsonlReporter>(out);
}

}  // namespace kvg::harness
