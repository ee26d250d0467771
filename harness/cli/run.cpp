#include <algorithm>
#include <memory>

#include "harness/choices.h"
#include "harness/cli/cli.h"
#include "harness/cli/measure.h"

namespace kvg::harness::cli {
namespace {

constexpr const char* kFooter =
    "Rows: one a dataset, context and policy, in the order given, for each model and each "
    "combination\n"
    "of listed counts. Lists: 500,1000,1900 or ranges, 0-100+25 by steps, 256-4096*2 by factors.\n"
    "Ctrl-C ends after the row under way, once more at once. Exit code: 0 all measured, 1 "
    "refused,\n"
    "3 some rows failed, 130 interrupted.\n"
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
    "  kvgauge run --model synthetic:llama-3.1-8b --protocol speed --prompt-len 2000 --batch "
    "1-64*4\n"
    "  kvgauge run --policy baseline,streaming_128-1024*2 --max-tokens 500-2000+500\n"
    "  kvgauge run --model synthetic:pythia-2.8b --memory-limit 8GiB --dry-run";

void add_choice(CLI::App& run, const Choice& choice, Grid& grid) {
  if (choice.takes == Choice::Takes::kNothing) {
    run.add_flag_callback(
        choice.flag, [give = choice.give, &grid] { give(grid, "true"); }, choice.help);
    return;
  }
  if (choice.takes == Choice::Takes::kRepeated) {
    run.add_option_function<std::vector<std::string>>(
           choice.flag,
           [give = choice.give, &grid](const std::vector<std::string>& texts) {
             std::ranges::for_each(texts, [&](const std::string& text) { give(grid, text); });
           },
           choice.help)
        ->take_all()
        ->allow_extra_args(false)
        ->type_name(choice.type_name);
    return;
  }
  run.add_option_function<std::string>(
         choice.flag,
         [give = choice.give, &grid](const std::string& text) { give(grid, text); },
         choice.help)
      ->type_name(choice.type_name);
}

}  // namespace

void add_run(CLI::App& app, const Command& command, Action& action) {
  struct Flags {
    Grid grid;
    OutputFlags outputs;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* const run =
      app.add_subcommand("run", "Measure a model under several policies: one row a policy.");
  for (const Choice& choice : choices()) {
    add_choice(*run, choice, flags->grid);
  }
  add_output_flags(*run, flags->outputs);
  run->footer(kFooter);
  run->callback([flags, &command, &action] {
    action = [flags, &command] {
      return measure(flags->grid, flags->outputs, Resume::kNo, command);
    };
  });
}

}  // namespace kvg::harness::cli
