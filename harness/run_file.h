#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kvg::harness {

/// Parses a run: an object whose "records" are an array of objects, or the lines of `--jsonl`,
/// which become one. A schema or an environment that is there must be one of ours. A last line that
/// was cut short was never recorded and is left out. `name` goes into messages. Throws DataError
/// for anything else.
[[nodiscard]] nlohmann::json parse_run(std::string_view text, const std::string& name);

/// The same of a file, of at most 1 GiB.
[[nodiscard]] nlohmann::json read_run(const std::filesystem::path& file);

}  // namespace kvg::harness
