#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "harness/cli/cli.h"
#include "harness/columns.h"
#include "harness/markdown.h"
#include "harness/run_file.h"
#include "kernels/core/error.h"

namespace kvg::harness::cli {
namespace {

using Json = nlohmann::json;

// The tables name where they come from.
Json read_whole_run(const std::string& file) {
  Json run = read_run(file);
  if (!run.contains("environment")) {
    throw DataError("run file " + file +
                    " is no run that `kvgauge run --json` wrote: it has no "
                    "environment");
  }
  return run;
}

std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "-";
}

// What a table stands for: records that differ in the policy alone.
std::string table_name(const Json& record) {
  return text_of(record, "model") + ", " + text_of(record, "dataset") + ", " +
         text_of(record, "protocol") + ", " + text_of(record, "device") + ", " +
         text_of(record, "dtype");
}

Value value_of(const Json& record, const Column& column) {
  const auto it = record.find(std::string(column.key));
  if (it == record.end()) {
    return {};
  }
  if (it->is_string()) {
    return it->get<std::string>();
  }
  return it->is_number() ? Value(it->get<double>()) : Value();
}

// What a run was recorded without is left out: it is older than the column.
bool shows(const Column& column, const Json& record) {
  const bool on_cuda = text_of(record, "device").starts_with("cuda");
  return record.contains(std::string(column.key)) &&
         (column.shown == Shown::kAlways ||
          (column.shown == Shown::kOnTasks && text_of(record, "protocol") == "task") ||
          column.shown == (on_cuda ? Shown::kOnCuda : Shown::kOnCpu));
}

void print_header(const Json& record, std::ostream& out) {
  std::string names = "|";
  std::string rule = "|";
  for (const Column& column : columns()) {
    if (shows(column, record)) {
      names += " " + std::string(column.heading) + " |";
      rule += column.type == ColumnType::kText ? " --- |" : " ---: |";
    }
  }
  out << names << '\n' << rule << '\n';
}

void print_row(const Json& record, std::ostream& out) {
  if (text_of(record, "status") != "ok") {
    out << "| " << markdown_cell(text_of(record, "method"))
        << " | failed: " << markdown_cell(text_of(record, "error")) << " |\n";
    return;
  }
  out << '|';
  for (const Column& column : columns()) {
    if (shows(column, record)) {
      out << ' ' << markdown_cell(shown_text(column, value_of(record, column))) << " |";
    }
  }
  out << '\n';
}

void print_provenance(const Json& environment, std::ostream& out) {
  const std::string gpu = text_of(environment, "gpu");
  out << "\nMeasured " << text_of(environment, "time_utc") << " at commit "
      << text_of(environment, "commit").substr(0, 12) << " on ";
  if (gpu == "-") {
    out << text_of(environment, "cpu");
  } else {
    out << gpu << ", driver " << text_of(environment, "driver");
  }
  out << ": `" << text_of(environment, "command") << "`\n";
}

void print_markdown(const Json& run, std::ostream& out) {
  std::string table;
  for (const Json& record : run.at("records")) {
    if (const std::string name = table_name(record); name != table) {
      out << (table.empty() ? "" : "\n") << "**" << markdown_cell(name) << "**\n\n";
      print_header(record, out);
      table = name;
    }
    print_row(record, out);
  }
  print_provenance(run.at("environment"), out);
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* const report =
      app.add_subcommand("report", "Render the tables of recorded runs as Markdown.");
  report->add_option("run", *files, "files that `kvgauge run --json` wrote")
      ->required()
      ->type_name("FILE...");
  report->footer("Examples:\n  kvgauge run --json run.json && kvgauge report run.json");
  report->callback([files, &action] {
    action = [files] {
      std::vector<Json> runs;
      for (const std::string& file : *files) {
        runs.push_back(read_whole_run(file));
      }
      for (std::size_t i = 0; i < runs.size(); ++i) {
        std::cout << (i == 0 ? "" : "\n");
        print_markdown(runs[i], std::cout);
      }
      return kAllMeasured;
    };
  });
}

}  // namespace kvg::harness::cli
