#include "harness/cli/measure.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <unistd.h>
#include <utility>
#include <vector>

#include "harness/cell.h"
#include "harness/cli/console.h"
#include "harness/cli/interrupt.h"
#include "harness/cli/plan_table.h"
#include "harness/output_file.h"
#include "harness/record_file.h"
#include "harness/reporters/reporters.h"
#include "harness/sweep.h"
#include "kernels/core/error.h"

namespace kvg::harness::cli {
namespace {

using Json = nlohmann::ordered_json;

Console::Options console_options(const std::string& progress, Resume resume) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const bool sweeps = resume == Resume::kYes;
  if (progress == "auto") {
    return {.progress = terminal, .cells = sweeps, .terminal = terminal};
  }
  if (progress == "on" || progress == "off") {
    const bool on = progress == "on";
    return {.progress = on, .cells = on && sweeps, .terminal = terminal};
  }
  throw InvalidArgument("--progress " + progress + " is unknown; allowed: auto, on, off");
}

void check_outputs(const OutputFlags& flags) {
  std::vector<std::filesystem::path> targets;
  for (const auto& file : {flags.csv, flags.json, flags.jsonl}) {
    if (!file) {
      continue;
    }
    if (flags.dry_run) {
      throw InvalidArgument("--dry-run measures nothing, so there is nothing to write to " + *file);
    }
    check_writable(*file);
    // Several ways of writing a path may mean one file.
    const auto target = std::filesystem::weakly_canonical(std::filesystem::absolute(*file));
    if (std::ranges::find(targets, target) != targets.end()) {
      throw InvalidArgument("two outputs cannot share the file " + *file);
    }
    targets.push_back(target);
  }
}

// What --jsonl holds of a grid's cells when a sweep goes on.
class Recorded {
 public:
  // `cells`: the keys of the grid.
  Recorded(RecordFile& file, const std::set<std::string>& cells) : file_(file) {
    std::vector<Json> lines = file.read();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!is_measured(lines[i])) {
        failed_.emplace_back(i, std::move(lines[i]));
        continue;
      }
      const std::string key = cell_key(lines[i]);
      if (cells.contains(key) && finished_.insert(key).second) {
        lines_.push_back(std::move(lines[i]));
      }
    }
  }

  [[nodiscard]] const std::set<std::string>& finished() const { return finished_; }
  [[nodiscard]] const std::vector<Json>& lines() const { return lines_; }

  // A cell that failed has one line however often it is tried.
  void put(const Json& line) {
    const auto failed = std::ranges::find_if(
        failed_, [&line](const auto& known) { return may_be_cell(known.second, line); });
    if (failed == failed_.end()) {
      file_.append(line);
    } else {
      file_.replace(failed->first, line);
      failed_.erase(failed);
    }
  }

 private:
  RecordFile& file_;
  std::set<std::string> finished_;
  std::vector<std::pair<std::size_t, Json>> failed_;  // by the place of the line, from 0
  std::vector<Json> lines_;
};

// The reporters and what they write to.
struct Outputs {
  std::unique_ptr<RecordFile> jsonl;
  std::unique_ptr<Recorded> recorded;
  Reporters reporters;
};

void open_jsonl(Sweep& sweep, const std::string& file, Resume resume, Outputs& outputs) {
  outputs.jsonl = std::make_unique<RecordFile>(file);
  if (resume == Resume::kNo) {
    outputs.reporters.hold(
        make_jsonl_reporter([&file = *outputs.jsonl](const Json& line) { file.append(line); }));
    return;
  }
  outputs.recorded = std::make_unique<Recorded>(*outputs.jsonl, sweep.keys());
  sweep.leave_out(outputs.recorded->finished());
  outputs.reporters.hold(make_jsonl_reporter(
      [&recorded = *outputs.recorded](const Json& line) { recorded.put(line); }));
}

void open_outputs(Sweep& sweep, const OutputFlags& flags, Resume resume, Outputs& outputs) {
  const bool colour = isatty(STDOUT_FILENO) != 0;
  outputs.reporters.hold(make_table_reporter(std::cout, colour));
  // What is appended first survives an interruption.
  if (flags.jsonl) {
    open_jsonl(sweep, *flags.jsonl, resume, outputs);
  }
  if (flags.csv) {
    outputs.reporters.hold(make_csv_reporter(rewrite_file(*flags.csv)));
  }
  if (flags.json) {
    outputs.reporters.hold(make_json_reporter(rewrite_file(*flags.json)));
  }
  if (outputs.recorded && !outputs.recorded->lines().empty()) {
    outputs.reporters.recall(outputs.recorded->lines());
  }
}

void print_plans(const Sweep& sweep) {
  const char* between = "";
  for (const Sweep::Part& part : sweep.parts()) {
    std::cout << between;
    print_plan(part, std::cout);
    between = "\n";
  }
}

int exit_code(const Sweep::Outcome& outcome, Resume resume) {
  if (outcome.left > 0) {
    std::cerr << "kvgauge: interrupted; " << outcome.left << " rows are left"
              << (resume == Resume::kYes ? ", the same command measures them" : "") << std::endl;
    return kInterrupted;
  }
  return outcome.failed == 0 ? kAllMeasured : kSomeFailed;
}

}  // namespace

void add_output_flags(CLI::App& app, OutputFlags& flags) {
  app.add_option("--csv", flags.csv, "write the records to this file")->type_name("FILE");
  app.add_option("--json", flags.json, "write the environment and the records to this file")
      ->type_name("FILE");
  app.add_option("--jsonl", flags.jsonl, "append each record to this file once it is measured")
      ->type_name("FILE");
  app.add_option("--progress", flags.progress, "auto, on or off; on stderr [auto]");
  app.add_flag("--dry-run", flags.dry_run, "print the predicted memory of each row, run nothing");
}

int measure(const Grid& grid, const OutputFlags& flags, Resume resume, const Command& command) {
  Console console(std::cerr, console_options(flags.progress, resume));
  check_outputs(flags);
  const bool sweeps = resume == Resume::kYes;
  Sweep sweep(grid, console, sweeps ? Unplanned::kFailsRow : Unplanned::kThrow);
  if (flags.dry_run) {
    console.show_warnings();
    print_plans(sweep);
    return kAllMeasured;
  }
  if (sweeps) {
    sweep.drop_repeated();
  } else {
    sweep.expect_some_fit();
  }
  Outputs outputs;
  open_outputs(sweep, flags, resume, outputs);
  console.show_warnings();
  const Interrupt interrupt;
  const Sweep::Outcome outcome = sweep.run(command, outputs.reporters);
  console.show_warnings();
  return exit_code(outcome, resume);
}

}  // namespace kvg::harness::cli
