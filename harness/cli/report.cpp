#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "harness/cli/cli.h"
#include "harness/output_file.h"
#include "harness/report/renderer.h"
#include "harness/run_file.h"
#include "kernels/core/error.h"

namespace kvg::harness::cli {
namespace {

namespace fs = std::filesystem;

using Json = nlohmann::json;

constexpr const char* kFooter =
    "HTML is one file that needs no network: sortable tables with the best figures marked, "
    "quality\n"
    "against memory and time with the Pareto front, perplexity by position, memory by class, "
    "times\n"
    "of tokens, what was found by depth and length, environment and command. The other formats "
    "hold\n"
    "the same tables. Rows are grouped by model, dataset, protocol, device and dtype.\n"
    "\n"
    "Examples:\n"
    "  kvgauge run --json run.json && kvgauge report run.json -o report.html\n"
    "  kvgauge report tiny-llama.json tiny-neox.json -o report.html\n"
    "  kvgauge report grid.jsonl -o report.html   of a sweep under way\n"
    "  kvgauge report run.json                    Markdown, for a pull request\n"
    "  kvgauge report run.json --format csv       for a paper's own tables";

struct ReportFlags {
  std::vector<std::string> files;
  std::optional<std::string> output;
  std::optional<std::string> format;
};

// The tables name where they come from.
Json read_whole_run(const std::string& file) {
  Json run = read_run(file);
  if (!run.contains("environment")) {
    throw DataError("run file " + file +
                    " is no run that `kvgauge run --json` or --jsonl wrote: it has no environment");
  }
  return run;
}

std::vector<Json> read_runs(const std::vector<std::string>& files) {
  std::vector<Json> runs;
  std::size_t rows = 0;
  for (const std::string& file : files) {
    runs.push_back(read_whole_run(file));
    rows += runs.back().at("records").size();
    if (rows > report::kMostRows) {
      throw DataError("run file " + file + " brings the report to " + std::to_string(rows) +
                      " records; allowed: up to " + std::to_string(report::kMostRows));
    }
  }
  return runs;
}

// A report in the place of what it is made from would destroy a measurement.
void expect_no_input(const std::string& output, const std::vector<std::string>& files) {
  const auto place = [](const std::string& file) {
    return fs::weakly_canonical(fs::absolute(file));
  };
  for (const std::string& file : files) {
    if (place(file) == place(output)) {
      throw InvalidArgument("--output " + output + " is one of the runs to report");
    }
  }
}

const report::Renderer& chosen_renderer(const ReportFlags& flags) {
  if (flags.format) {
    return report::renderer_named(*flags.format);
  }
  return flags.output ? report::renderer_for(*flags.output) : report::renderers().front();
}

int execute(const ReportFlags& flags) {
  const report::Renderer& renderer = chosen_renderer(flags);
  if (flags.output) {
    expect_no_input(*flags.output, flags.files);
    check_writable(*flags.output);
  }
  const std::vector<Json> documents = read_runs(flags.files);
  std::vector<report::Run> runs;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    runs.push_back({.file = flags.files[i], .document = &documents[i]});
  }
  if (!flags.output) {
    renderer.render(runs, std::cout);
    return kAllMeasured;
  }
  std::ostringstream document;
  renderer.render(runs, document);
  const Rewrite rewrite = rewrite_file(*flags.output);
  rewrite(document.str());
  return kAllMeasured;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* const report = app.add_subcommand(
      "report", "Render recorded runs: a page with charts, or tables for papers.");
  report->add_option("run", flags->files, "files that --json or --jsonl of run or sweep wrote")
      ->required()
      ->type_name("FILE...");
  report->add_option("-o,--output", flags->output, "write to this file [standard output]")
      ->type_name("FILE");
  report->add_option("--format",
                     flags->format,
                     "markdown, html, csv or json [by the extension of --output, else markdown]");
  report->footer(kFooter);
  report->callback([flags, &action] { action = [flags] { return execute(*flags); }; });
}

}  // namespace kvg::harness::cli
