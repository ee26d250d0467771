#include "harness/cell.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kParts{"model",
                            "weights_sha256",
                            "dataset",
                            "dataset_sha256",
                            "policy",
                            "protocol",
                            "context",
                            "query",
                            "batch",
                            "seed",
                            "dtype"};

// Of these every row tells, planned or not.
constexpr std::array kAlwaysTold{"model", "dataset", "policy", "protocol", "device", "seed"};

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

using Parts = std::map<std::string, std::string>;

// By name, so that neither order nor settings without a value make a difference.
Parts parts_of(const Json& record) {
  Parts parts;
  const auto add = [&parts](const std::string& name, const Json& value) {
    if (!value.is_null()) {
      parts[name] = text_of(value);
    }
  };
  for (const char* const name : kParts) {
    if (const auto it = record.find(name); it != record.end()) {
      add(name, *it);
    }
  }
  if (const auto device = record.find("device"); device != record.end() && device->is_string()) {
    const auto id = device->get<std::string>();
    parts["device"] = id.substr(0, id.find(':'));
  }
  if (const auto settings = record.find("settings");
      settings != record.end() && settings->is_object()) {
    for (const auto& [name, value] : settings->items()) {
      add("settings." + name, value);
    }
  }
  return parts;
}

}  // namespace

std::string cell_key(const Json& record) {
  return text_of(Json(parts_of(record)));
}

bool may_be_cell(const Json& failed, const Json& record) {
  const Parts some = parts_of(failed);
  const Parts all = parts_of(record);
  const bool tells_enough =
      std::ranges::all_of(kAlwaysTold, [&some](const char* name) { return some.contains(name); });
  return tells_enough && std::ranges::includes(all, some);
}

bool is_measured(const Json& record) {
  const auto status = record.find("status");
  return status != record.end() && *status == "ok";
}

}  // namespace kvg::harness
