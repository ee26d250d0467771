#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace kvg::harness {

/// What `--json` writes in its "schema", and `--jsonl` in that of every line.
inline constexpr std::string_view kRunSchema = "kvgauge.run/1";
inline constexpr std::string_view kRecordSchema = "kvgauge.record/1";

/// A run as one document, {"schema", "environment", "records"}, that grows record by record.
class RunDocument {
 public:
  /// Records come from several environments when a sweep has several models, or goes on later. Of
  /// all but their texts, which are joined, what is not the same in all of them is null; the time
  /// and the clocks are the last one's.
  void join(nlohmann::ordered_json environment);

  void add(nlohmann::ordered_json record);

  /// A line as `--jsonl` writes it: a record that holds its schema and its environment.
  void add_line(nlohmann::ordered_json line);

  [[nodiscard]] const nlohmann::ordered_json& json() const { return document_; }

 private:
  [[nodiscard]] nlohmann::ordered_json joined_texts(nlohmann::ordered_json more);

  nlohmann::ordered_json document_ = {{"schema", kRunSchema},
                                      {"environment", nullptr},
                                      {"records", nlohmann::ordered_json::array()}};
  std::set<std::string> texts_;  ///< of the environment, as JSON writes them
};

}  // namespace kvg::harness
