#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace kvg::harness {

/// Replaces a document by a new version of it.
using Rewrite = std::function<void(std::string_view document)>;

/// Replaces `file` in one step at every call (a temporary file beside it, then a rename), so that
/// it is whole whenever the program or the machine ends. What is no regular file, such as
/// /dev/stdout, is written to directly. Throws InvalidArgument now when the path cannot be written,
/// DataError later.
[[nodiscard]] Rewrite rewrite_file(const std::filesystem::path& file);

/// Throws InvalidArgument when `file` cannot be written, naming it and the reason. Tries it, and
/// leaves nothing behind.
void check_writable(const std::filesystem::path& file);

/// Removes what a kill left of a new version of `file`, which rewrite_file() does by itself.
void drop_unfinished(const std::filesystem::path& file);

/// Writes all of `text`. Throws DataError naming `file`.
void write_whole(int descriptor, std::string_view text, const std::filesystem::path& file);

/// Returns once what was written is on the disk, where there is one. Throws DataError naming
/// `file`.
void sync_file(int descriptor, const std::filesystem::path& file);

/// The same of the name of a file that was made or renamed.
void sync_folder_of(const std::filesystem::path& file);

}  // namespace kvg::harness
