#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "harness/record.h"

namespace kvg::harness {

/// One figure of a record; monostate: not measured, or without meaning. Reals are finite.
using Value = std::variant<std::monostate, std::int64_t, double, bool, std::string>;

enum class ColumnType { kText, kInteger, kReal, kFlag };

/// Which tables show a column; kOnReports: reports alone, where some row has the figure.
enum class Shown { kNever, kAlways, kOnCuda, kOnCpu, kOnTasks, kOnReports };

/// Which of two figures a reader would rather have.
enum class Better { kNeither, kLower, kHigher };

/// One column of everything that is printed or written: the table, CSV and JSON read this alone.
struct Column {
  std::string_view key;  ///< of JSON; "memory.kv_bytes" lies in an object, CSV joins it by '_'
  ColumnType type = ColumnType::kText;
  std::string_view unit{};  ///< "s", "tokens/s", "bytes", "GB" (2^30 bytes), "MHz", ...
  Value (*get)(const Record&) = nullptr;
  std::string_view heading{};  ///< on the console
  Shown shown = Shown::kNever;
  std::string (*show)(double) = nullptr;  ///< digits on the console, for reals
  Better better = Better::kNeither;       ///< what a report marks as best
};

/// Every column; those shown on the console are in the order of the table.
[[nodiscard]] std::span<const Column> columns();

/// One figure of a sample, in JSON.
struct SampleColumn {
  std::string_view key;
  std::string_view unit;
  Value (*get)(const Sample&) = nullptr;
};

[[nodiscard]] std::span<const SampleColumn> sample_columns();

/// A figure as people read it; "-" when there is none.
[[nodiscard]] std::string shown_text(const Column& column, const Value& value);

/// 4 significant digits, trailing zeros kept: "0.001230", "12.30", "1234".
[[nodiscard]] std::string four_digits(double value);

/// Bytes as GB of 2^30 with 4 significant digits: "1.500 GB".
[[nodiscard]] std::string gigabytes(double bytes);

}  // namespace kvg::harness
