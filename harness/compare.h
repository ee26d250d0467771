#pragma once

#include <cstddef>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::harness {

/// What a figure may change before a row has regressed; shares, so 0.005 is half a percent.
struct CompareLimits {
  double perplexity = 0.005;  ///< relative growth
  double memory = 0.01;       ///< relative growth of the peak
  double tpot = 0.10;         ///< relative growth
  double accuracy = -0.01;    ///< difference; one percentage point less
};

enum class Verdict {
  kHolds,
  kExcused,    ///< a time beyond its limit, inside the recorded spread
  kRegressed,  ///< beyond its limit, or gone
  kUnjudged,   ///< without an old value
};

[[nodiscard]] std::string_view name_of(Verdict verdict);

/// One figure of a row, old and new.
struct ComparedFigure {
  std::string_view key;  ///< "perplexity", "accuracy", "peak_vram_gb", "peak_memory_gb", "tpot"
  std::optional<double> before;
  std::optional<double> after;
  std::optional<double> change;  ///< relative; accuracy: the difference
  double limit = 0.0;
  std::optional<double> noise;  ///< what a change of the value may be by chance; empty: unknown
  std::optional<bool> beyond_noise;
  Verdict verdict = Verdict::kUnjudged;
};

/// One row of either run.
struct ComparedRow {
  std::string model;
  std::string dataset;
  std::string protocol;
  std::string policy;  ///< canonical
  std::string device_kind;
  std::string method;  ///< as given
  std::vector<ComparedFigure> figures;
  std::vector<std::string> notes;  ///< what else must be known of it, a line each
  bool regressed = false;
};

/// Rows of the old run in its order, then those that only the new one has.
struct Comparison {
  std::vector<ComparedRow> rows;
  bool regressed = false;
};

/// A run that was parsed, and what messages call it.
struct NamedRun {
  const nlohmann::json& run;
  std::string name;
};

/// Pairs rows by model, dataset, protocol, policy and kind of device, and judges what changed.
/// Reads the records' top-level fields, and the weights' hash of an environment where the records
/// have none. `only` keeps the rows of these methods or policies; empty: all. Throws DataError for
/// a record that cannot be one, InvalidArgument when the old run has no row to hold to.
[[nodiscard]] Comparison compare(const NamedRun& before,
                                 const NamedRun& after,
                                 const CompareLimits& limits,
                                 const std::vector<std::string>& only);

/// "+0.5%" with unit "%", "-1pt" with unit "pt": the share. Throws InvalidArgument naming `flag`.
[[nodiscard]] double parse_limit(std::string_view flag,
                                 std::string_view text,
                                 std::string_view unit);

/// Writes a comparison for people, for programs, and for pull requests.
void print_table(const Comparison& comparison, std::ostream& out);
void print_json(const Comparison& comparison, std::ostream& out);
void print_markdown(const Comparison& comparison, std::ostream& out);

}  // namespace kvg::harness
