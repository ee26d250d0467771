#include "harness/run_document.h"

#include <algorithm>
#include <array>

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

// Readings of a moment.
constexpr std::array<std::string_view, 2> kOfAMoment{"time_utc", "clocks"};

}  // namespace

void RunDocument::join(Json environment) {
  Json& before = document_["environment"];
  for (auto& [key, value] : environment.items()) {
    if (key == "texts" && value.is_array()) {
      value = joined_texts(std::move(value));
    } else if (before.is_object() && value != before.value(key, Json()) &&
               std::ranges::find(kOfAMoment, key) == kOfAMoment.end()) {
      value = nullptr;
    }
  }
  before = std::move(environment);
}

// What is already there is moved, so that a thousand lines do not copy it a thousand times.
Json RunDocument::joined_texts(Json more) {
  Json& before = document_["environment"];
  const bool any = before.is_object() && before.contains("texts") && before["texts"].is_array();
  Json texts = any ? std::move(before["texts"]) : Json::array();
  for (Json& text : more) {
    if (texts_.insert(text.dump(-1, ' ', false, Json::error_handler_t::replace)).second) {
      texts.push_back(std::move(text));
    }
  }
  return texts;
}

void RunDocument::add(Json record) {
  document_["records"].push_back(std::move(record));
}

void RunDocument::add_line(Json line) {
  if (const auto environment = line.find("environment");
      environment != line.end() && environment->is_object()) {
    join(std::move(*environment));
  }
  line.erase("schema");
  line.erase("environment");
  add(std::move(line));
}

}  // namespace kvg::harness
