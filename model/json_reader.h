#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kvg::model {

/// Parses a JSON file whose top level is an object. Throws DataError naming the file: missing, too
/// large (over 64 MB), nested too deep, not JSON, not an object.
[[nodiscard]] nlohmann::json read_json_object(const std::filesystem::path& file);

/// Smallest and largest value that a key may have.
struct Range {
  double min = 0.0;
  double max = 0.0;
};

/// Checked reading of one JSON object of a config file. A null counts as absent. Every failure is a
/// DataError naming the file, the key, the value and what is allowed.
class JsonReader {
 public:
  /// `object` outlives the reader; `where` begins the messages: "config.json", then
  /// "config.json: rope_scaling".
  JsonReader(const nlohmann::json& object, std::string where);

  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] bool is_null(std::string_view key) const;  ///< there, but null

  [[nodiscard]] int integer(std::string_view key, const Range& range) const;
  [[nodiscard]] int integer(std::string_view key, const Range& range, int fallback) const;
  [[nodiscard]] double number(std::string_view key, const Range& range) const;
  [[nodiscard]] double number(std::string_view key, const Range& range, double fallback) const;
  [[nodiscard]] bool flag(std::string_view key, bool fallback) const;
  [[nodiscard]] std::string text(std::string_view key, std::string_view fallback) const;
  [[nodiscard]] std::optional<JsonReader> object(std::string_view key) const;

  /// The value of `key`, or null when it is absent or null itself.
  [[nodiscard]] const nlohmann::json* find(std::string_view key) const;

  [[noreturn]] void refuse(const std::string& message) const;

 private:
  [[nodiscard]] const nlohmann::json& at(std::string_view key) const;
  [[noreturn]] void refuse_value(std::string_view key, std::string_view allowed) const;

  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace kvg::model
