#include "harness/markdown.h"

#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/report/renderer.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

void print_header(const RunTable& table, std::ostream& out) {
  std::string names = "|";
  std::string rule = "|";
  for (const TableColumn& column : table.columns) {
    names += " " + markdown_cell(column.heading) + " |";
    rule += column.is_text ? " --- |" : " ---: |";
  }
  out << names << '\n' << rule << '\n';
}

void print_row(const TableRow& row, std::ostream& out) {
  if (row.failed) {
    out << "| " << markdown_cell(row.method) << " | failed: " << markdown_cell(row.error) << " |\n";
    return;
  }
  out << '|';
  for (const Cell& cell : row.cells) {
    out << ' ' << markdown_cell(cell.text) << " |";
  }
  out << '\n';
}

void print_provenance(const Json& environment, std::ostream& out) {
  const std::string gpu = text_member(environment, "gpu");
  out << "\nMeasured " << markdown_cell(text_member(environment, "time_utc")) << " at commit "
      << markdown_cell(text_member(environment, "commit").substr(0, 12)) << " on ";
  if (gpu == "-") {
    out << markdown_cell(text_member(environment, "cpu"));
  } else {
    out << markdown_cell(gpu) << ", driver " << markdown_cell(text_member(environment, "driver"));
  }
  out << ": " << markdown_code(text_member(environment, "command")) << '\n';
}

}  // namespace

void render_markdown(std::span<const Run> runs, std::ostream& out) {
  bool first = true;
  for (const Run& run : runs) {
    for (const RunTable& table : tables_of(*run.document)) {
      out << (first ? "" : "\n") << "**" << markdown_cell(table.name) << "**\n\n";
      first = false;
      print_header(table, out);
      for (const TableRow& row : table.rows) {
        print_row(row, out);
      }
    }
    print_provenance(run.document->at("environment"), out);
  }
}

}  // namespace kvg::harness::report
