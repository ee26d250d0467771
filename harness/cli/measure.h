#pragma once

#include <optional>
#include <string>

#include "harness/cli/cli.h"
#include "harness/grid.h"

namespace kvg::harness::cli {

/// Where records go and what is shown meanwhile: the flags that `run` and `sweep` share.
struct OutputFlags {
  std::optional<std::string> csv;
  std::optional<std::string> json;
  std::optional<std::string> jsonl;
  std::string progress = "auto";
  bool dry_run = false;
};

void add_output_flags(CLI::App& app, OutputFlags& flags);

enum class Resume {
  kNo,   ///< every row is measured and appended
  kYes,  ///< cells that --jsonl holds are left out, and cells that failed are put in their place
};

/// Measures a grid and writes it; yields the exit code.
[[nodiscard]] int measure(const Grid& grid,
                          const OutputFlags& flags,
                          Resume resume,
                          const Command& command);

}  // namespace kvg::harness::cli
