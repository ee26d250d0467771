#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// A text to measure on.
struct Text {
  std::string name;  ///< shipped name, or the path as given
  std::filesystem::path file;
  std::string content;  ///< UTF-8, CRLF read as LF
  std::string sha256;   ///< hex, of the file's bytes
};

/// Names of the shipped texts, the default one first.
[[nodiscard]] std::vector<std::string> shipped_texts();

/// Reads any UTF-8 file by path, or a shipped text by name, with or without ".txt"; a file that
/// exists comes before a shipped name. Throws InvalidArgument for a name that is neither (listing
/// the shipped ones), DataError for an empty or unreadable file or invalid UTF-8 (naming the byte).
[[nodiscard]] Text load_text(std::string_view name_or_path);

}  // namespace kvg::datasets
