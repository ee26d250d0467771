#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/clocks.h"
#include "kernels/device.h"

namespace kvg::harness {

/// What the program was built from and with.
struct BuildInfo {
  std::string_view version;    ///< "0.1.0"
  std::string_view commit;     ///< full hash, or "unknown"
  std::optional<bool> dirty;   ///< sources differ from the commit; empty: unknown
  std::string_view compiler;   ///< "GNU 12.2.0"
  std::string_view type;       ///< "Release"
  std::string_view sanitizer;  ///< empty: none
  std::string_view cuda;       ///< version of nvcc; empty: built without
};

[[nodiscard]] const BuildInfo& build_info();

/// "kvgauge 0.1.0 (commit 0123abcd, dirty)".
[[nodiscard]] std::string version_line();

/// A file that was measured with, by name and SHA-256.
struct HashedName {
  std::string name;
  std::string sha256;
};

/// Where and of what a run's records were measured.
struct Environment {
  BuildInfo build;
  kernels::DeviceInfo cpu;
  kernels::DeviceInfo device;
  int cpu_threads = 0;
  std::optional<Clocks> clocks;  ///< when the environment was read, before the first row
  std::string time_utc;          ///< "2026-11-21T09:30:00Z"
  std::vector<std::string> command;
  HashedName weights;  ///< hash of the weight files, or "synthetic:SEED"
  std::vector<HashedName> texts;
};

/// Fills all but command, weights and texts.
[[nodiscard]] Environment read_environment(const kernels::DeviceInfo& device);

}  // namespace kvg::harness
