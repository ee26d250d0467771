#include "harness/csv.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/report/renderer.h"

namespace kvg::harness::report {
namespace {

// What a table's name says, row by row: one document holds all tables.
constexpr std::array kNameKeys{"model", "dataset", "protocol", "device", "dtype"};

Value value_of(const Cell& cell) {
  if (cell.number) {
    return *cell.number;
  }
  return cell.known ? Value(cell.text) : Value();
}

std::vector<std::string> keys_of(const std::vector<RunTable>& tables) {
  std::vector<std::string> keys;
  for (const RunTable& table : tables) {
    for (const TableColumn& column : table.columns) {
      if (std::ranges::find(keys, column.key) == keys.end()) {
        keys.push_back(column.key);
      }
    }
  }
  return keys;
}

std::string header(const std::vector<std::string>& keys) {
  std::string line;
  for (const char* const key : kNameKeys) {
    line += std::string(key) + ",";
  }
  for (std::string key : keys) {
    std::ranges::replace(key, '.', '_');
    line += csv_field(key) + ",";
  }
  return line + "status,error";
}

Value field_of(const RunTable& table, const TableRow& row, const std::string& key) {
  if (row.failed) {
    return key == "method" ? Value(row.method) : Value();
  }
  const auto column = std::ranges::find(table.columns, key, &TableColumn::key);
  return column == table.columns.end()
             ? Value()
             : value_of(row.cells[static_cast<std::size_t>(column - table.columns.begin())]);
}

}  // namespace

void render_csv(std::span<const Run> runs, std::ostream& out) {
  std::vector<RunTable> tables;
  for (const Run& run : runs) {
    for (RunTable& table : tables_of(*run.document)) {
      tables.push_back(std::move(table));
    }
  }
  const std::vector<std::string> keys = keys_of(tables);
  out << header(keys) << kEndOfCsvLine;
  for (const RunTable& table : tables) {
    for (const TableRow& row : table.rows) {
      for (const char* const key : kNameKeys) {
        out << csv_field(text_member(*row.record, key)) << ',';
      }
      for (const std::string& key : keys) {
        out << csv_field(field_of(table, row, key)) << ',';
      }
      out << (row.failed ? "failed," + csv_field(row.error) : "ok,") << kEndOfCsvLine;
    }
  }
}

}  // namespace kvg::harness::report
