#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"
#include "harness/run_document.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

class JsonReporter final : public Reporter {
 public:
  explicit JsonReporter(Rewrite rewrite) : rewrite_(std::move(rewrite)) {}

  void recall(std::span<const Json> lines) override {
    for (const Json& line : lines) {
      document_.add_line(line);
    }
    write();
  }

  void begin_run(const Environment& environment) override { document_.join(to_json(environment)); }

  void add(const Record& record) override {
    document_.add(to_json(record));
    write();
  }

 private:
  void write() const {
    // A path may hold bytes that are no UTF-8; they must not lose the run.
    rewrite_(document_.json().dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  Rewrite rewrite_;
  RunDocument document_;
};

}  // namespace

std::unique_ptr<Reporter> make_json_reporter(Rewrite rewrite) {
  return std::make_unique<JsonReporter>(std::move(rewrite));
}

}  // namespace kvg::harness
