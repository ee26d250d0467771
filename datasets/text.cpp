#include "datasets/text.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "kernels/core/assets.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"
#include "kernels/core/utf8.h"

namespace kvg::datasets {
namespace {

constexpr std::array<std::string_view, 4> kShipped = {
    "persuasion", "doctor-moreau", "looking-glass", "wikitext2-test"};
constexpr std::string_view kSuffix = ".txt";
constexpr std::size_t kLargestText = std::size_t{256} << 20U;
constexpr std::streamsize kBlock = 1 << 20;

std::string shipped_list() {
  std::string list;
  for (const std::string_view name : kShipped) {
    list += list.empty() ? "" : ", ";
    list += name;
  }
  return list;
}

// Where a text lies and by which name it goes.
Text find_text(std::string_view name_or_path) {
  const std::filesystem::path path(name_or_path);
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_directory(path, error)) {
    return {.name = std::string(name_or_path), .file = path, .content = {}, .sha256 = {}};
  }
  std::string_view name = name_or_path;
  if (name.ends_with(kSuffix)) {
    name.remove_suffix(kSuffix.size());
  }
  if (std::find(kShipped.begin(), kShipped.end(), name) == kShipped.end()) {
    throw InvalidArgument(
        "dataset \"" + std::string(name_or_path) +
        "\" is neither a text file nor a shipped text; shipped: " + shipped_list());
  }
  const std::string asset = "datasets/corpora/" + std::string(name) + std::string(kSuffix);
  const std::filesystem::path file = find_asset(asset);
  if (file.empty()) {
    throw DataError("the shipped text " + asset + " is not installed");
  }
  return {.name = std::string(name), .file = file, .content = {}, .sha256 = {}};
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes;
  std::vector<char> block(kBlock);
  while (in.read(block.data(), kBlock) || in.gcount() > 0) {
    bytes.append(block.data(), static_cast<std::size_t>(in.gcount()));
    // A device may never end.
    if (bytes.size() > kLargestText) {
      throw DataError(file.string() + ": more than the 256 MiB that a text may have");
    }
  }
  if (!in.eof()) {
    throw DataError(file.string() + ": not readable");
  }
  return bytes;
}

void crlf_to_lf(std::string& text) {
  std::size_t out = 0;
  for (std::size_t in = 0; in < text.size(); ++in) {
    const bool drops = text[in] == '\r' && in + 1 < text.size() && text[in + 1] == '\n';
    if (!drops) {
      text[out++] = text[in];
    }
  }
  text.resize(out);
}

}  // namespace

std::vector<std::string> shipped_texts() {
  return {kShipped.begin(), kShipped.end()};
}

Text load_text(std::string_view name_or_path) {
  Text text = find_text(name_or_path);
  text.content = read_file(text.file);
  if (text.content.empty()) {
    throw DataError(text.file.string() + ": the text is empty");
  }
  const std::size_t bad = first_invalid_utf8(text.content);
  if (bad != std::string_view::npos) {
    throw DataError(text.file.string() + ": not UTF-8: invalid at byte " + std::to_string(bad));
  }
  text.sha256 = sha256_hex(text.content);
  crlf_to_lf(text.content);
  return text;
}

}  // namespace kvg::datasets
