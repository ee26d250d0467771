#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace kvg {

/// Lower-case hex SHA-256 of the bytes.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

/// Lower-case hex SHA-256 of a file's bytes, read piece by piece. Throws DataError when it cannot
/// be read.
[[nodiscard]] std::string sha256_file(const std::filesystem::path& file);

}  // namespace kvg
