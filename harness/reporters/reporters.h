#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "harness/output_file.h"
#include "harness/reporter.h"

namespace kvg::harness {

/// The console table: a title and a header a table, a line a row, each flushed at once. `out`
/// outlives the reporter.
[[nodiscard]] std::unique_ptr<Reporter> make_table_reporter(std::ostream& out, bool colour);

/// One CSV document, RFC 4180 quoting, rewritten whole after every row.
[[nodiscard]] std::unique_ptr<Reporter> make_csv_reporter(Rewrite rewrite);

/// One document {"schema", "environment", "records"}, rewritten whole after every row.
[[nodiscard]] std::unique_ptr<Reporter> make_json_reporter(Rewrite rewrite);

/// Writes one line.
using AppendLine = std::function<void(const nlohmann::ordered_json& line)>;

/// One line a record, each with its environment.
[[nodiscard]] std::unique_ptr<Reporter> make_jsonl_reporter(AppendLine append);

}  // namespace kvg::harness
