#include "model/json_reader.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "kernels/core/error.h"
#include "kernels/core/nesting.h"

namespace kvg::model {
namespace {

using nlohmann::json;

constexpr std::uintmax_t kLargestFile = 64U << 20U;

// "4096", "0.25": as a person would write it.
std::string text_of(double value) {
  std::ostringstream out;
  out.precision(15);
  out << value;
  return out.str();
}

std::string text_of(const Range& range) {
  return text_of(range.min) + " to " + text_of(range.max);
}

// A value on one line and not too long: files are not to be trusted.
std::string text_of(const json& value) {
  constexpr std::size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > kLongest) {
    text.resize(kLongest);
    text += "...";
  }
  return text;
}

// Names of a file stand in messages, and may hold anything.
std::string on_one_line(std::string text) {
  std::ranges::replace_if(
      text,
      [](char letter) { return static_cast<unsigned char>(letter) < 0x20U || letter == 0x7F; },
      '?');
  return text;
}

}  // namespace

json read_json_object(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  std::ifstream in(file, std::ios::binary);
  if (error || !in) {
    throw DataError(file.string() + ": missing or not readable");
  }
  if (bytes > kLargestFile) {
    throw DataError(file.string() + ": " + std::to_string(bytes) +
                    " bytes are too many for this file");
  }
  const std::string text(std::istreambuf_iterator<char>(in), {});
  if (nests_too_deep(text)) {
    throw DataError(file.string() + ": nested too deep");
  }
  json value;
  try {
    value = json::parse(text);
  } catch (const json::exception&) {
    throw DataError(file.string() + ": not valid JSON");
  }
  if (!value.is_object()) {
    throw DataError(file.string() + ": not a JSON object");
  }
  return value;
}

JsonReader::JsonReader(const json& object, std::string where)
    : object_(&object), where_(std::move(where)) {}

const json* JsonReader::find(std::string_view key) const {
  const auto it = object_->find(std::string(key));
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonReader::has(std::string_view key) const {
  return find(key) != nullptr;
}

bool JsonReader::is_null(std::string_view key) const {
  const auto it = object_->find(std::string(key));
  return it != object_->end() && it->is_null();
}

const json& JsonReader::at(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) {
    refuse(std::string(key) + " is missing");
  }
  return *value;
}

void JsonReader::refuse(const std::string& message) const {
  throw DataError(on_one_line(where_ + ": " + message));
}

void JsonReader::refuse_value(std::string_view key, std::string_view allowed) const {
  refuse(std::string(key) + " is " + text_of(at(key)) + "; allowed: " + std::string(allowed));
}

int JsonReader::integer(std::string_view key, const Range& range) const {
  const json& value = at(key);
  // Compared as a double, so that no size of integer overflows on the way.
  if (!value.is_number_integer() || value.get<double>() < range.min ||
      value.get<double>() > range.max) {
    refuse_value(key, text_of(range));
  }
  return value.get<int>();
}

int JsonReader::integer(std::string_view key, const Range& range, int fallback) const {
  return has(key) ? integer(key, range) : fallback;
}

double JsonReader::number(std::string_view key, const Range& range) const {
  const json& value = at(key);
  if (!value.is_number() || value.get<double>() < range.min || value.get<double>() > range.max) {
    refuse_value(key, text_of(range));
  }
  return value.get<double>();
}

double JsonReader::number(std::string_view key, const Range& range, double fallback) const {
  return has(key) ? number(key, range) : fallback;
}

bool JsonReader::flag(std::string_view key, bool fallback) const {
  if (!has(key)) {
    return fallback;
  }
  if (!at(key).is_boolean()) {
    refuse_value(key, "true, false");
  }
  return at(key).get<bool>();
}

std::string JsonReader::text(std::string_view key, std::string_view fallback) const {
  if (!has(key)) {
    return std::string(fallback);
  }
  if (!at(key).is_string()) {
    refuse_value(key, "a string");
  }
  return at(key).get<std::string>();
}

std::optional<JsonReader> JsonReader::object(std::string_view key) const {
  if (!has(key)) {
    return std::nullopt;
  }
  if (!at(key).is_object()) {
    refuse_value(key, "an object");
  }
  return JsonReader(at(key), where_ + ": " + std::string(key));
}

}  // namespace kvg::model
