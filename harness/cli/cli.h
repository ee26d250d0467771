#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace kvg::harness::cli {

/// Exit codes of the program.
inline constexpr int kAllMeasured = 0;
inline constexpr int kRefused = 1;
inline constexpr int kSomeFailed = 3;
inline constexpr int kInterrupted = 130;  ///< as shells say it of SIGINT
/// Of `compare`: rows regressed; its input is unusable.
inline constexpr int kRegressed = 1;
inline constexpr int kUnusable = 2;

/// The words of the command line, the program's name first.
using Command = std::vector<std::string>;

/// Every subcommand adds itself to `app` and puts what it does into `action`, which yields the exit
/// code. What is refused throws kvg::Error.
using Action = std::function<int()>;

void add_run(CLI::App& app, const Command& command, Action& action);
void add_sweep(CLI::App& app, const Command& command, Action& action);
void add_info(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);

}  // namespace kvg::harness::cli
