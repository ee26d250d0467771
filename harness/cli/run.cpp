#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <unistd.h>

#include "harness/cli/cli.h"
#include "harness/cli/console.h"
#include "harness/cli/plan_table.h"
#include "harness/experiment.h"
#include "harness/number_list.h"
#include "harness/output_file.h"
#include "harness/reporters/reporters.h"
#include "harness/session.h"
#include "harness/task_workload.h"
#include "kernels/core/error.h"

namespace kvg::harness::cli {
namespace {

constexpr const char* kFooter =
    "Rows: one a dataset and policy, in the order given. Exit code: 0 all measured, 1 refused,\n"
    "3 some rows failed.\n"
    "\n"
    "Examples:\n"
    "  kvgauge run\n"
    "  kvgauge run --model tiny-neox --dataset book.txt --policy baseline,window_256 --csv "
    "out.csv\n"
    "  kvgauge run --policy streaming:budget=512,sinks=8+int4:group=32 --max-tokens 4000\n"
    "  kvgauge run --protocol split --policy snapkv:keep=0.25 --policy baseline+k=int8,v=int4\n"
    "  kvgauge run --policy all --max-tokens 1000\n"
    "  kvgauge run --dataset wikitext2-test --protocol score --convention gptq-2048\n"
    "  kvgauge run --dataset qasper.jsonl --policy baseline,snapkv_256 --num-samples 20\n"
    "  kvgauge run --dataset niah --context 500,1000,1900 --depth 0-100+10 --query agnostic\n"
    "  kvgauge run --model synthetic:llama-3.1-8b --protocol speed --prompt-len 2000 --batch 4\n"
    "  kvgauge run --model synthetic:pythia-2.8b --memory-limit 8GiB --dry-run";

// What the flags hold besides the experiment.
struct RunFlags {
  Experiment experiment;
  std::vector<std::string> policies;
  std::optional<std::string> protocol;
  std::optional<std::string> memory_limit;
  std::optional<std::string> csv;
  std::optional<std::string> json;
  std::optional<std::string> jsonl;
  std::string progress = "auto";
  bool dry_run = false;
};

std::int32_t parse_count(const CountInfo& count, const std::string& text) {
  if (text == "auto" && !count.automatic.empty()) {
    return kAuto;
  }
  std::int32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value == kAuto) {
    throw InvalidArgument(std::string(count.flag) + " " + text +
                          " is no whole number in range; allowed: " + std::to_string(count.min) +
                          " to " + std::to_string(count.max));
  }
  return value;
}

std::uint64_t parse_seed(const std::string& text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  // JSON readers take signed numbers.
  if (error != std::errc{} || rest != end || value > std::uint64_t{INT64_MAX}) {
    throw InvalidArgument("--seed " + text + " is no whole number in range; allowed: 0 to " +
                          std::to_string(INT64_MAX));
  }
  return value;
}

std::string help_of(const CountInfo& count) {
  std::string help(count.help);
  if (!count.protocols.empty()) {
    std::string names;
    for (const char letter : count.protocols) {
      names += letter == ' ' ? ", " : std::string(1, letter);
    }
    help = names + ": " + help;
  }
  if (count.default_value) {
    help += " [" + std::to_string(*count.default_value) +
            (count.automatic.empty() ? "" : "; " + std::string(count.automatic) + ": auto") + "]";
  }
  return help;
}

void add_counts(CLI::App& run, Experiment& experiment) {
  for (const CountInfo& count : counts()) {
    run.add_option_function<std::string>(
           std::string(count.flag),
           [&count, &experiment](const std::string& text) {
             experiment.*count.member = parse_count(count, text);
           },
           help_of(count))
        ->type_name("N");
  }
}

void add_task_choices(CLI::App& run, Experiment& experiment) {
  run.add_option_function<std::string>(
         "--context",
         [&experiment](const std::string& text) {
           experiment.contexts = parse_numbers(text, {"--context", 16, 4'194'304});
         },
         "task: most tokens of a prompt, a row each: 500,1000,1900 or 256-4096*2 [1000]")
      ->type_name("LIST");
  run.add_option_function<std::string>(
         "--depth",
         [&experiment](const std::string& text) {
           experiment.depths = parse_numbers(text, {"--depth", 0, 100});
         },
         "task: percent of the text before what is asked for: 0,50,100 or 0-100+10 [0-100+25]")
      ->type_name("LIST");
  run.add_option("--query",
                 experiment.query,
                 "task: aware (the cut has seen the question) or agnostic (it has not) [aware]");
}

void add_choices(CLI::App& run, RunFlags& flags) {
  Experiment& experiment = flags.experiment;
  run.add_option("--model",
                 experiment.model,
                 "folder, shipped name, or synthetic:NAME|PATH/config.json [tiny-llama]");
  run.add_option("--dataset",
                 experiment.datasets,
                 "shipped name, text file or corpus (.jsonl), task, or file of questions (.jsonl); "
                 "repeatable "
                 "[persuasion; task: niah]")
      ->take_all()
      ->allow_extra_args(false);
  run.add_option("--policy",
                 flags.policies,
                 "spec SELECTION:key=value+CODEC:key=value, comma list of bare names, all, or "
                 "suite:eviction|codecs|quick; repeatable; see kvgauge list policies, list codecs "
                 "[baseline,streaming_256,streaming_512,streaming_1024]")
      ->take_all()
      ->allow_extra_args(false);
  run.add_option("--protocol",
                 flags.protocol,
                 "stream, split, speed, score or task [task for tasks and questions, else stream]");
  run.add_option("--convention",
                 experiment.convention,
                 "stream, score: how perplexity is measured: stream, gptq-N, llama.cpp-N, stride "
                 "or stride-N; see kvgauge list conventions [stream]");
  add_task_choices(run, experiment);
  run.add_flag_callback(
      "--no-kl",
      [&experiment] { experiment.kl = false; },
      "stream, split, score: without the pass beside the baseline that kl_mean and kl_p99 take");
  run.add_option("--device", experiment.device, "auto, cpu, cuda or cuda:N [auto]");
  run.add_option("--dtype", experiment.dtype, "auto, f32, f16 or bf16 [auto]");
  run.add_option_function<std::string>(
         "--seed",
         [&experiment](const std::string& text) { experiment.seed = parse_seed(text); },
         "of random ids, synthetic weights and tasks [0]")
      ->type_name("N");
  run.add_option("--memory-limit",
                 flags.memory_limit,
                 "bytes the device's pool may hold, such as 8GiB: a smaller device")
      ->type_name("SIZE");
}

void add_outputs(CLI::App& run, RunFlags& flags) {
  run.add_option("--csv", flags.csv, "write the records to this file")->type_name("FILE");
  run.add_option("--json", flags.json, "write the environment and the records to this file")
      ->type_name("FILE");
  run.add_option("--jsonl", flags.jsonl, "append each record to this file once it is measured")
      ->type_name("FILE");
  run.add_option("--progress", flags.progress, "auto, on or off; on stderr [auto]");
  run.add_flag("--dry-run", flags.dry_run, "print the predicted memory of each row, run nothing");
}

Console::Options console_options(const std::string& progress) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (progress == "auto") {
    return {.progress = terminal, .terminal = terminal};
  }
  if (progress == "on" || progress == "off") {
    return {.progress = progress == "on", .terminal = terminal};
  }
  throw InvalidArgument("--progress " + progress + " is unknown; allowed: auto, on, off");
}

// The reporters of a run and what they write to.
struct Outputs {
  std::ofstream jsonl;
  Reporters reporters;
};

void check_outputs(const RunFlags& flags) {
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

void open_outputs(const RunFlags& flags, Outputs& outputs) {
  const bool colour = isatty(STDOUT_FILENO) != 0;
  outputs.reporters.hold(make_table_reporter(std::cout, colour));
  // What is appended first survives an interruption.
  if (flags.jsonl) {
    outputs.jsonl = open_to_append(*flags.jsonl);
    outputs.reporters.hold(make_jsonl_reporter(outputs.jsonl));
  }
  if (flags.csv) {
    outputs.reporters.hold(make_csv_reporter(rewrite_file(*flags.csv)));
  }
  if (flags.json) {
    outputs.reporters.hold(make_json_reporter(rewrite_file(*flags.json)));
  }
}

int execute(RunFlags flags, const Command& command) {
  if (!flags.policies.empty()) {
    flags.experiment.policies = flags.policies;
  }
  const std::vector<std::string>& datasets = flags.experiment.datasets;
  if (flags.protocol) {
    flags.experiment.protocol = *flags.protocol;
  } else if (!datasets.empty() && is_task(datasets.front())) {
    flags.experiment.protocol = "task";
  }
  if (flags.memory_limit) {
    flags.experiment.memory_limit = parse_size(*flags.memory_limit);
  }
  Console console(std::cerr, console_options(flags.progress));
  check_outputs(flags);
  Session session(flags.experiment, console);
  if (flags.dry_run) {
    console.show_warnings();
    print_plan(session, std::cout);
    return kAllMeasured;
  }
  session.expect_some_fit();
  Outputs outputs;
  open_outputs(flags, outputs);
  console.show_warnings();
  const std::size_t failed = session.run(command, outputs.reporters);
  console.show_warnings();
  return failed == 0 ? kAllMeasured : kSomeFailed;
}

}  // namespace

void add_run(CLI::App& app, const Command& command, Action& action) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* const run =
      app.add_subcommand("run", "Measure one model under several policies: one row a policy.");
  add_choices(*run, *flags);
  add_counts(*run, flags->experiment);
  add_outputs(*run, *flags);
  run->footer(kFooter);
  run->callback([flags, &command, &action] {
    action = [flags, &command] { return execute(*flags, command); };
  });
}

}  // namespace kvg::harness::cli
