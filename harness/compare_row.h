#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvg::harness {

/// What a comparison reads of one record.
struct RecordedRow {
  std::string model;
  std::string dataset;
  std::string protocol;
  std::string policy;
  std::string device_kind;  ///< "cuda:1" is "cuda"
  std::string method;
  bool failed = false;
  std::string error;

  std::optional<double> perplexity;
  std::optional<double> perplexity_stderr;
  std::optional<double> accuracy;
  std::optional<double> accuracy_low;  ///< of its 95 % interval, where that was recorded
  std::optional<double> accuracy_high;
  std::optional<double> eval_tokens;
  std::string_view memory_key;  ///< "peak_vram_gb", or "peak_memory_gb" where that is null
  std::optional<double> memory;
  bool zero_vram = false;  ///< a peak of 0 on cuda, which is left out of `memory`
  std::optional<double> tpot;
  std::optional<double> spread;  ///< of tpot between samples, relative
  std::optional<double> itl_p50;
  std::optional<double> itl_p90;

  std::string weights;                                        ///< hash; empty: unknown
  std::vector<std::pair<std::string, std::string>> settings;  ///< by name, as JSON writes them

  [[nodiscard]] std::string key() const;  ///< what rows are paired by
};

/// Reads every record of a run that parse_run() let through. `name` is the run's in messages.
/// Throws DataError naming the record and the field that cannot be.
[[nodiscard]] std::vector<RecordedRow> read_rows(const nlohmann::json& run,
                                                 const std::string& name);

/// "batch 1 -> 4" for every setting that both rows tell and that differs.
[[nodiscard]] std::vector<std::string> changed_settings(const RecordedRow& before,
                                                        const RecordedRow& after);

}  // namespace kvg::harness
