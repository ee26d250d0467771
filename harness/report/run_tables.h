#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::harness::report {

/// Most records of one report: what a reader, and a browser, still gets through.
inline constexpr std::size_t kMostRows = 10'000;

/// Most bytes of a text that is shown: a stranger's text must not fill the page.
inline constexpr std::size_t kMostText = 4096;

/// Most settings that become columns.
inline constexpr std::size_t kMostSettings = 32;

/// A recorded run, as read_run() yields it, and the file's name for people.
struct Run {
  std::string file;
  const nlohmann::json* document = nullptr;  ///< outlives all that is made of it
};

/// One figure as it is shown.
struct Cell {
  std::string text;              ///< "-" when it is not known
  std::optional<double> number;  ///< what it sorts by; empty for texts
  bool known = true;
  bool best = false;  ///< no row of the same settings shows a better one, and some a worse one
};

struct TableColumn {
  std::string key;
  std::string heading;
  std::string unit;
  bool is_text = false;
};

struct TableRow {
  const nlohmann::json* record = nullptr;
  std::string method;
  std::string variant;  ///< the settings that vary within the table, "context 500"; often empty
  bool failed = false;
  std::string error;        ///< of a failed row
  std::vector<Cell> cells;  ///< [columns of the table]; none in a failed row
};

/// The rows of a run that differ in policy and settings alone.
struct RunTable {
  std::string name;  ///< model, dataset, protocol, device, dtype
  std::vector<TableColumn> columns;
  std::vector<TableRow> rows;
};

/// The tables of a run, in the order in which their first rows were recorded. What the run does not
/// hold, or holds in another type than it is written in, shows as "-". Columns that no record has
/// are left out: the run is older than they are.
[[nodiscard]] std::vector<RunTable> tables_of(const nlohmann::json& run);

/// The beginning of UTF-8, no character cut in two; "..." follows when something is left out.
[[nodiscard]] std::string beginning(const std::string& text, std::size_t most_bytes = kMostText);

/// A text member of an object as far as it is shown, or "-".
[[nodiscard]] std::string text_member(const nlohmann::json& object, std::string_view key);

/// A finite number of an object, "memory.kv_bytes" lying in an object of it.
[[nodiscard]] std::optional<double> number_member(const nlohmann::json& object,
                                                  std::string_view key);

/// The elements of an array member; none when there is no such array.
[[nodiscard]] const nlohmann::json& array_member(const nlohmann::json& object, const char* key);

}  // namespace kvg::harness::report
