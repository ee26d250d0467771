#include "harness/compare_row.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::json;

constexpr double kNoLimit = std::numeric_limits<double>::max();

// Settings that stand beside the figures; the others lie in "settings".
constexpr std::array kPlainSettings{
    "dtype", "batch", "seed", "eval_tokens", "dataset_sha256", "query", "context"};

// One record and what messages call it.
class Reader {
 public:
  Reader(const Json& record, std::string name) : record_(record), name_(std::move(name)) {}

  [[nodiscard]] const Json* find(const char* key) const {
    const auto it = record_.find(key);
    return it == record_.end() || it->is_null() ? nullptr : &*it;
  }

  [[nodiscard]] std::optional<std::string> text(const char* key) const {
    const Json* const value = find(key);
    if (value == nullptr) {
      return {};
    }
    if (!value->is_string()) {
      refuse(std::string(key) + " is no text");
    }
    return value->get<std::string>();
  }

  [[nodiscard]] std::string needed(const char* key) const {
    std::optional<std::string> value = text(key);
    if (!value || value->empty()) {
      refuse("it has no " + std::string(key));
    }
    return *std::move(value);
  }

  [[nodiscard]] std::optional<double> figure(const char* key, double most = kNoLimit) const {
    const Json* const value = find(key);
    if (value == nullptr) {
      return {};
    }
    if (!value->is_number() || !(value->get<double>() >= 0.0 && value->get<double>() <= most)) {
      refuse(std::string(key) + " is no number of at least 0" +
             (most == 1.0 ? " and at most 1" : ""));
    }
    return value->get<double>();
  }

  [[noreturn]] void refuse(const std::string& reason) const {
    throw DataError(name_ + ": " + reason);
  }

 private:
  const Json& record_;
  std::string name_;
};

void read_memory(const Reader& in, RecordedRow& row) {
  row.memory_key = in.find("peak_vram_gb") != nullptr ? "peak_vram_gb" : "peak_memory_gb";
  row.memory = in.figure(row.memory_key.data());
  row.zero_vram = row.device_kind == "cuda" && row.memory == 0.0;
  if (row.zero_vram) {
    row.memory.reset();
  }
}

void read_settings(const Reader& in, RecordedRow& row) {
  for (const char* const key : kPlainSettings) {
    if (const Json* const value = in.find(key)) {
      row.settings.emplace_back(key, value->dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  }
  const Json* const settings = in.find("settings");
  if (settings == nullptr) {
    return;
  }
  if (!settings->is_object()) {
    in.refuse("settings are no object");
  }
  for (const auto& [key, value] : settings->items()) {
    row.settings.emplace_back(key, value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

RecordedRow read_row(const Reader& in) {
  RecordedRow row;
  row.model = in.needed("model");
  row.dataset = in.needed("dataset");
  row.protocol = in.needed("protocol");
  row.policy = in.needed("policy");
  const std::string device = in.needed("device");
  row.device_kind = device.substr(0, device.find(':'));
  row.method = in.text("method").value_or(row.policy);
  const std::string status = in.text("status").value_or("ok");
  if (status != "ok" && status != "failed") {
    in.refuse("status is neither ok nor failed");
  }
  row.failed = status == "failed";
  row.error = in.text("error").value_or("");
  row.weights = in.text("weights_sha256").value_or("");
  row.perplexity = in.figure("perplexity");
  row.perplexity_stderr = in.figure("perplexity_stderr");
  row.accuracy = in.figure("accuracy", 1.0);
  row.accuracy_low = in.figure("accuracy_low", 1.0);
  row.accuracy_high = in.figure("accuracy_high", 1.0);
  row.eval_tokens = in.figure("eval_tokens");
  row.tpot = in.figure("tpot");
  row.spread = in.figure("spread");
  row.itl_p50 = in.figure("itl_p50");
  row.itl_p90 = in.figure("itl_p90");
  read_memory(in, row);
  read_settings(in, row);
  return row;
}

// Records that do not name their weights were made of those of their environment.
std::string weights_of(const Json& run) {
  const auto where = run.find("environment");
  if (where == run.end()) {
    return {};
  }
  const auto weights = where->find("weights");
  if (weights == where->end() || !weights->is_object()) {
    return {};
  }
  const auto hash = weights->find("sha256");
  return hash != weights->end() && hash->is_string() ? hash->get<std::string>() : std::string();
}

}  // namespace

std::string RecordedRow::key() const {
  std::string joined;
  for (const std::string* const part : {&model, &dataset, &protocol, &policy, &device_kind}) {
    // A length in front keeps apart what a separator inside a name would join.
    joined += std::to_string(part->size()) + ":" + *part;
  }
  return joined;
}

std::vector<RecordedRow> read_rows(const Json& run, const std::string& name) {
  const std::string weights = weights_of(run);
  std::vector<RecordedRow> rows;
  for (const Json& record : run.at("records")) {
    const Reader in(record, "run file " + name + ", record " + std::to_string(rows.size() + 1));
    rows.push_back(read_row(in));
    if (rows.back().weights.empty()) {
      rows.back().weights = weights;
    }
  }
  return rows;
}

std::vector<std::string> changed_settings(const RecordedRow& before, const RecordedRow& after) {
  std::vector<std::string> changed;
  for (const auto& [key, value] : before.settings) {
    const auto other =
        std::ranges::find(after.settings, key, [](const auto& setting) -> const std::string& {
          return setting.first;
        });
    if (other != after.settings.end() && other->second != value) {
      changed.push_back(key + " " + value + " -> " + other->second);
    }
  }
  return changed;
}

}  // namespace kvg::harness
