#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "harness/grid.h"

namespace kvg::harness {

enum class SweepFormat { kJson, kYaml };

/// Reads a grid from one object whose keys are choices: the flags of `run` without the dashes in
/// front, '_' or '-' within, or "models", "datasets", "policies", "batches", "depths", and
/// "contexts": what is fed, in the protocol's own measure (task: --context, speed: --prompt-len,
/// else --max-tokens). A value is a text, a number or a list of them. The baseline goes to the
/// front of the policies, so that others are held to it. `name` goes into messages. Throws
/// DataError for what is no such object, InvalidArgument for a key or value that is not allowed.
[[nodiscard]] Grid parse_sweep(std::string_view text, SweepFormat format, const std::string& name);

/// The same of a file of at most 1 MiB, by its ending: .json, .yaml or .yml.
[[nodiscard]] Grid read_sweep(const std::filesystem::path& file);

}  // namespace kvg::harness
