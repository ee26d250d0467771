#include <memory>

#include "harness/cli/cli.h"
#include "harness/cli/measure.h"
#include "harness/sweep_file.h"

namespace kvg::harness::cli {
namespace {

constexpr const char* kFooter =
    "FILE holds one object, in JSON or, by the ending .yaml or .yml, in YAML. Its keys are the "
    "flags\n"
    "of kvgauge run without the dashes in front ('_' for '-' within); a value is a text, a number "
    "or\n"
    "a list. models, datasets, policies, batches and depths may be said in the plural; contexts "
    "is\n"
    "the length of what is fed in the protocol's own measure: --context of tasks, --prompt-len of\n"
    "speed, else --max-tokens. Numbers may be lists and ranges: \"500,1000\", \"256-4096*2\".\n"
    "\n"
    "Cells: each model (loaded once), then each combination of listed counts in the order of\n"
    "kvgauge run --help, then dataset, context and policy, the baseline first. With --jsonl a "
    "sweep\n"
    "goes on where it ended, however it ended: a cell is finished when the file holds it with the\n"
    "same model, weights, text, policy, protocol, seed, dtype, kind of device and settings. Cells\n"
    "that failed are tried again and keep their place. --csv and --json hold finished cells too.\n"
    "A cell that cannot be run (a policy that the model or the protocol refuses, a context too "
    "short\n"
    "or beyond the text, a model or text that is not there) is a row with its error; a file that "
    "is\n"
    "broken, has unknown keys or values that mean nothing is refused.\n"
    "Ctrl-C ends after the cell under way, once more at once. Exit code: 0 all measured, 1 "
    "refused,\n"
    "3 some cells failed, 130 interrupted.\n"
    "\n"
    "Examples:\n"
    "  kvgauge sweep grid.json --jsonl grid.jsonl\n"
    "  kvgauge sweep grid.yaml --jsonl grid.jsonl --json grid-run.json && kvgauge report "
    "grid-run.json\n"
    "  kvgauge sweep grid.json --dry-run\n"
    "with grid.json:\n"
    "  {\"models\": [\"tiny-llama\", \"tiny-neox\"], \"datasets\": [\"niah\", \"passkey\"],\n"
    "   \"policies\": [\"baseline\", \"snapkv_128-512*2\", \"int4\"], \"contexts\": [500, 1000, "
    "1900],\n"
    "   \"depths\": \"0-100+25\", \"num_samples\": 4}\n"
    "or grid.yaml:\n"
    "  protocol: speed\n"
    "  models: [\"synthetic:llama-3.2-1b\"]\n"
    "  policies: [baseline, streaming_256, int8]\n"
    "  contexts: 512-8192*4\n"
    "  batches: [1, 4, 16]";

}  // namespace

void add_sweep(CLI::App& app, const Command& command, Action& action) {
  struct Flags {
    std::string file;
    OutputFlags outputs;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* const sweep = app.add_subcommand(
      "sweep", "Measure a grid that a file describes; goes on where it was interrupted.");
  sweep->add_option("file", flags->file, "a file that describes the grid")
      ->required()
      ->type_name("FILE.json|yaml");
  add_output_flags(*sweep, flags->outputs);
  sweep->footer(kFooter);
  sweep->callback([flags, &command, &action] {
    action = [flags, &command] {
      return measure(read_sweep(flags->file), flags->outputs, Resume::kYes, command);
    };
  });
}

}  // namespace kvg::harness::cli
