#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "harness/cli/cli.h"
#include "harness/environment.h"
#include "harness/plain_text.h"
#include "kernels/core/error.h"

namespace {

namespace cli = kvg::harness::cli;

constexpr const char* kFooter =
    "Examples:\n"
    "  kvgauge run                 the main job: tiny-llama under four policies\n"
    "  kvgauge run --help          every flag\n"
    "  kvgauge sweep grid.json --jsonl grid.jsonl   a grid of runs, resumable\n"
    "  kvgauge report run.json -o report.html   a page with charts; without -o tables as Markdown\n"
    "  kvgauge compare old.json new.json   whether a run holds what an older one recorded\n"
    "  kvgauge list policies       selections and their parameters; also: list codecs\n"
    "  kvgauge info                devices";

std::string known_commands(const CLI::App& app) {
  std::string names;
  for (const CLI::App* const known : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + known->get_name();
  }
  return names;
}

// What the parser found wrong, in the program's own words where its words name no remedy.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    const std::vector<std::string> rest = app.remaining();
    return (rest.empty() ? "no command is given" : "no command named \"" + rest.front() + "\"") +
           "; known: " + known_commands(app);
  }
  const CLI::App& command = *chosen.front();
  const std::string help = "; see kvgauge " + command.get_name() + " --help";
  for (const CLI::Option* const option : command.get_options()) {
    if (option->count() > 1 && option->get_items_expected_max() == 1) {
      return option->get_name() + " is given more than once" + help;
    }
    if (option->count() == 0 && option->get_required()) {
      return command.get_name() + " needs " + option->get_description() + help;
    }
  }
  return error.what() + help;
}

int run_program(const cli::Command& command) {
  CLI::App app("Measures what a KV-cache compression method really costs and really saves.",
               "kvgauge");
  app.footer(kFooter);
  app.set_version_flag("--version", kvg::harness::version_line());
  app.require_subcommand(1);
  cli::Action action;
  cli::add_run(app, command, action);
  cli::add_sweep(app, command, action);
  cli::add_info(app, action);
  cli::add_list(app, action);
  cli::add_report(app, action);
  cli::add_compare(app, action);
  try {
    app.parse(std::vector<std::string>(command.rbegin(), command.rend() - 1));
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    std::cout << (chosen.empty() ? app.help() : chosen.front()->help(app.get_name()));
    return cli::kAllMeasured;
  } catch (const CLI::CallForVersion&) {
    std::cout << kvg::harness::version_line() << '\n';
    return cli::kAllMeasured;
  } catch (const CLI::ParseError& error) {
    throw kvg::InvalidArgument(explain(app, error));
  }
  const int code = action();
  if (!std::cout.flush()) {
    throw kvg::DataError("the standard output could not be written");
  }
  return code;
}

// A gate tells what it could not judge from what it judged.
int refused(const cli::Command& command) {
  return command.size() > 1 && command[1] == "compare" ? cli::kUnusable : cli::kRefused;
}

}  // namespace

int main(int argc, char** argv) {
  const cli::Command command(argv, argv + argc);
  try {
    return run_program(command);
  } catch (const std::bad_alloc&) {
    std::cerr << "kvgauge: the memory of this machine is exhausted" << std::endl;
    return refused(command);
  } catch (const std::exception& error) {
    std::cerr << "kvgauge: " << kvg::harness::one_line(error.what()) << std::endl;
    return refused(command);
  }
}
