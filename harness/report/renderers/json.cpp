#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/report/renderer.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::ordered_json;

Json value_of(const Cell& cell) {
  if (cell.number) {
    return *cell.number;
  }
  return cell.known ? Json(cell.text) : Json(nullptr);
}

Json columns_of(const RunTable& table) {
  Json columns = Json::array();
  for (const TableColumn& column : table.columns) {
    columns.push_back({{"key", column.key}, {"heading", column.heading}, {"unit", column.unit}});
  }
  return columns;
}

Json rows_of(const RunTable& table) {
  Json rows = Json::array();
  for (const TableRow& row : table.rows) {
    Json entry = {{"method", row.method}, {"status", row.failed ? "failed" : "ok"}};
    if (row.failed) {
      entry["error"] = row.error;
    }
    Json best = Json::array();
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      entry[table.columns[i].key] = value_of(row.cells[i]);
      if (row.cells[i].best) {
        best.push_back(table.columns[i].key);
      }
    }
    entry["best"] = std::move(best);
    rows.push_back(std::move(entry));
  }
  return rows;
}

}  // namespace

void render_json(std::span<const Run> runs, std::ostream& out) {
  Json document = {{"schema", "kvgauge.report/1"}, {"runs", Json::array()}};
  for (const Run& run : runs) {
    Json tables = Json::array();
    for (const RunTable& table : tables_of(*run.document)) {
      tables.push_back(
          {{"name", table.name}, {"columns", columns_of(table)}, {"rows", rows_of(table)}});
    }
    document["runs"].push_back({{"file", run.file},
                                {"environment", run.document->at("environment")},
                                {"tables", std::move(tables)}});
  }
  // A file's name need not be UTF-8.
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace kvg::harness::report
