#include <algorithm>
#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

// One document has one environment: of several models none is named, each record names its own.
void join(const Json& before, Json& environment) {
  if (!before.is_object() || !environment.is_object()) {
    return;
  }
  if (before.value("weights", Json()) != environment.value("weights", Json())) {
    environment["weights"] = nullptr;
  }
  Json texts = environment.value("texts", Json::array());
  for (const Json& text : before.value("texts", Json::array())) {
    if (std::ranges::find(texts, text) == texts.end()) {
      texts.push_back(text);
    }
  }
  environment["texts"] = std::move(texts);
}

class JsonReporter final : public Reporter {
 public:
  explicit JsonReporter(Rewrite rewrite) : rewrite_(std::move(rewrite)) {}

  void recall(std::span<const Json> lines) override {
    for (Json record : lines) {
      take(record.value("environment", Json::object()));
      record.erase("schema");
      record.erase("environment");
      document_["records"].push_back(std::move(record));
    }
    write();
  }

  void begin_run(const Environment& environment) override { take(to_json(environment)); }

  void add(const Record& record) override {
    document_["records"].push_back(to_json(record));
    write();
  }

 private:
  void take(Json environment) {
    join(document_["environment"], environment);
    document_["environment"] = std::move(environment);
  }

  void write() const {
    // A path may hold bytes that are no UTF-8; they must not lose the run.
    rewrite_(document_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  Rewrite rewrite_;
  Json document_ = {
      {"schema", "kvgauge.run/1"}, {"environment", nullptr}, {"records", Json::array()}};
};

}  // namespace

std::unique_ptr<Reporter> make_json_reporter(Rewrite rewrite) {
  return std::make_unique<JsonReporter>(std::move(rewrite));
}

}  // namespace kvg::harness
