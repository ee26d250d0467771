#include "harness/compare.h"

#include <array>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "harness/cli/cli.h"
#include "harness/run_file.h"
#include "kernels/core/error.h"

namespace kvg::harness::cli {
namespace {

constexpr const char* kFooter =
    "Rows are paired by model, dataset, protocol, policy and kind of device. Limits alone decide "
    "for\n"
    "quality and memory; a TPOT beyond its limit is excused when the change is no larger than the\n"
    "spread that either run recorded: between its samples, or of one sample, from the middle step "
    "to\n"
    "the 90th percentile. A change of quality is beyond noise when it is above 1.96 standard "
    "errors\n"
    "of the difference. Rows whose settings changed or that come from other weights are named and\n"
    "compared all the same.\n"
    "Exit code: 0 holds, 1 regressed (a row that vanished or failed included), 2 unusable input.\n"
    "\n"
    "Examples:\n"
    "  kvgauge compare results/baselines/cpu-tiny-llama-split.json new.json\n"
    "  kvgauge compare old.json new.json --max-ppl 0% --max-vram 0% --min-acc 0pt --max-tpot +25%\n"
    "  kvgauge compare old.json new.json --only snapkv_256 --format markdown";

struct Format {
  std::string_view name;
  void (*print)(const Comparison& comparison, std::ostream& out) = nullptr;
};

constexpr std::array kFormats{
    Format{"table", print_table}, Format{"json", print_json}, Format{"markdown", print_markdown}};

struct CompareFlags {
  std::string before;
  std::string after;
  CompareLimits limits;
  std::vector<std::string> only;
  std::string format = "table";
};

const Format& find_format(const std::string& name) {
  for (const Format& format : kFormats) {
    if (format.name == name) {
      return format;
    }
  }
  throw InvalidArgument("--format " + name + " is unknown; allowed: table, json, markdown");
}

int execute(const CompareFlags& flags) {
  const Format& format = find_format(flags.format);
  const nlohmann::json before = read_run(flags.before);
  const nlohmann::json after = read_run(flags.after);
  const Comparison comparison =
      compare({before, flags.before}, {after, flags.after}, flags.limits, flags.only);
  format.print(comparison, std::cout);
  return comparison.regressed ? kRegressed : kAllMeasured;
}

void add_limit(CLI::App& app, const char* flag, const char* unit, double& limit, const char* help) {
  app.add_option_function<std::string>(
         flag,
         [flag, unit, &limit](const std::string& text) { limit = parse_limit(flag, text, unit); },
         help)
      ->type_name(unit == std::string("%") ? "PERCENT" : "POINTS");
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto flags = std::make_shared<CompareFlags>();
  CLI::App* const compare =
      app.add_subcommand("compare", "Hold a run to an older one: a gate against regressions.");
  compare->add_option("base", flags->before, "the older run, as --json or --jsonl wrote it")
      ->required()
      ->type_name("BASE.json");
  compare->add_option("new", flags->after, "the run to judge")->required()->type_name("NEW.json");
  CompareLimits& limits = flags->limits;
  add_limit(*compare, "--max-ppl", "%", limits.perplexity, "perplexity may grow by this [+0.5%]");
  add_limit(*compare, "--max-vram", "%", limits.memory, "peak memory may grow by this [+1%]");
  add_limit(*compare, "--max-tpot", "%", limits.tpot, "TPOT may grow by this [+10%]");
  add_limit(*compare, "--min-acc", "pt", limits.accuracy, "accuracy may change by this [-1pt]");
  compare->add_option("--only", flags->only, "compare the rows of this method alone; repeatable")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("METHOD");
  compare->add_option("--format", flags->format, "table, json or markdown [table]");
  compare->footer(kFooter);
  compare->callback([flags, &action] { action = [flags] { return execute(*flags); }; });
}

}  // namespace kvg::harness::cli
