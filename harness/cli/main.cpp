#include <exception>
#include <iostream>

#include "harness/cli/cli.h"
#include "harness/environment.h"
#include "kernels/core/error.h"

namespace {

namespace cli = kvg::harness::cli;

constexpr const char* kFooter =
    "Examples:\n"
    "  kvgauge run                 the main job: tiny-llama under four policies\n"
    "  kvgauge run --help          every flag\n"
    "  kvgauge report run.json     the tables of a recorded run as Markdown\n"
    "  kvgauge list policies       policies and their parameters\n"
    "  kvgauge info                devices";

int run_program(const cli::Command& command) {
  CLI::App app("Measures what a KV-cache compression method really costs and really saves.",
               "kvgauge");
  app.footer(kFooter);
  app.set_version_flag("--version", kvg::harness::version_line());
  app.require_subcommand(1);
  cli::Action action;
  cli::add_run(app, command, action);
  cli::add_info(app, action);
  cli::add_list(app, action);
  cli::add_report(app, action);
  try {
    app.parse(std::vector<std::string>(command.rbegin(), command.rend() - 1));
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    std::cout << (chosen.empty() ? app.help() : chosen.front()->help());
    return cli::kAllMeasured;
  } catch (const CLI::CallForVersion&) {
    std::cout << kvg::harness::version_line() << '\n';
    return cli::kAllMeasured;
  } catch (const CLI::ParseError& error) {
    throw kvg::InvalidArgument(std::string(error.what()) + "; see kvgauge --help");
  }
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_program({argv, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "kvgauge: " << error.what() << std::endl;
    return cli::kRefused;
  }
}
