#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

class JsonReporter final : public Reporter {
 public:
  explicit JsonReporter(Rewrite rewrite) : rewrite_(std::move(rewrite)) {}

  void begin_run(const Environment& environment) override {
    document_ = {{"schema", "kvgauge.run/1"},
                 {"environment", to_json(environment)},
                 {"records", nlohmann::ordered_json::array()}};
  }

  void add(const Record& record) override {
    document_["records"].push_back(to_json(record));
    // A path may hold bytes that are no UTF-8; they must not lose the run.
    rewrite_(document_.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
             "\n");
  }

 private:
  Rewrite rewrite_;
  nlohmann::ordered_json document_;
};

}  // namespace

std::unique_ptr<Reporter> make_json_reporter(Rewrite rewrite) {
  return std::make_unique<JsonReporter>(std::move(rewrite));
}

}  // namespace kvg::harness
