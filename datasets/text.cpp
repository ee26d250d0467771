#include "datasets/text.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "datasets/text_file.h"
#include "kernels/core/assets.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"

namespace kvg::datasets {
namespace {

constexpr std::array<std::string_view, 4> kShipped = {
    "persuasion", "doctor-moreau", "looking-glass", "wikitext2-test"};
constexpr std::string_view kSuffix = ".txt";

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

// Of a corpus of JSON lines; an empty line between two documents, as GPTQ's tool joins them.
std::string join_documents(const Text& text) {
  std::string joined;
  bool first = true;
  each_json_line(
      text.content, text.file, [&](const nlohmann::json& line, const std::string& where) {
        joined += (first ? "" : "\n\n") + text_of(line, "text", where);
        first = false;
        return true;
      });
  if (joined.empty()) {
    throw DataError(text.file.string() + ": the text is empty");
  }
  return joined;
}

}  // namespace

std::vector<std::string> shipped_texts() {
  return {kShipped.begin(), kShipped.end()};
}

Text load_text(std::string_view name_or_path) {
  Text text = find_text(name_or_path);
  text.content = read_text_file(text.file);
  text.sha256 = sha256_hex(text.content);
  if (is_json_lines(text.file)) {
    text.content = join_documents(text);
  }
  crlf_to_lf(text.content);
  return text;
}

}  // namespace kvg::datasets
