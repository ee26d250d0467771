#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kvg::datasets {

/// The bytes of a UTF-8 file of at most 256 MiB. Throws DataError naming the file when it is not
/// readable, larger, empty or not UTF-8 (naming the byte).
[[nodiscard]] std::string read_text_file(const std::filesystem::path& file);

/// True for a file whose lines are JSON objects, by its name: it ends in ".jsonl".
[[nodiscard]] bool is_json_lines(const std::filesystem::path& file);

/// Yields the object of every line that is not blank, in order, until `take` answers false. `where`
/// is "FILE: line N", for messages. Throws DataError naming file and line for anything else.
using TakeLine = std::function<bool(const nlohmann::json& object, const std::string& where)>;
void each_json_line(std::string_view content,
                    const std::filesystem::path& file,
                    const TakeLine& take);

/// The first object of a file of JSON lines, which are not read beyond it. Throws DataError as
/// above, and when there is none.
[[nodiscard]] nlohmann::json first_json_line(const std::filesystem::path& file);

/// A member that is a string. Throws DataError beginning with `where` when it is absent or another
/// kind of value.
[[nodiscard]] std::string text_of(const nlohmann::json& object,
                                  std::string_view key,
                                  const std::string& where);

}  // namespace kvg::datasets
