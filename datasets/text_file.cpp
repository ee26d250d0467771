#include "datasets/text_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/nesting.h"
#include "kernels/core/utf8.h"

namespace kvg::datasets {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestText = std::size_t{256} << 20U;
constexpr std::streamsize kBlock = 1 << 20;

Json parse_line(std::string_view line, const std::string& where) {
  if (nests_too_deep(line)) {
    throw DataError(where + ": nested too deep");
  }
  Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) {
    throw DataError(where + ": no JSON object");
  }
  return object;
}

}  // namespace

std::string read_text_file(const std::filesystem::path& file) {
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
  if (bytes.empty()) {
    throw DataError(file.string() + ": the text is empty");
  }
  const std::size_t bad = first_invalid_utf8(bytes);
  if (bad != std::string_view::npos) {
    throw DataError(file.string() + ": not UTF-8: invalid at byte " + std::to_string(bad));
  }
  return bytes;
}

bool is_json_lines(const std::filesystem::path& file) {
  return file.extension() == ".jsonl";
}

void each_json_line(std::string_view content,
                    const std::filesystem::path& file,
                    const TakeLine& take) {
  std::size_t number = 0;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(line.size() + 1, content.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    const std::string where = file.string() + ": line " + std::to_string(number);
    if (!take(parse_line(line, where), where)) {
      return;
    }
  }
}

Json first_json_line(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string start;
  std::vector<char> block(kBlock);
  // A line may be longer than a block.
  while (start.find_first_not_of(" \t\r\n") == std::string::npos ||
         start.find('\n', start.find_first_not_of(" \t\r\n")) == std::string::npos) {
    if (start.size() > kLargestText || !(in.read(block.data(), kBlock) || in.gcount() > 0)) {
      break;
    }
    start.append(block.data(), static_cast<std::size_t>(in.gcount()));
  }
  Json first;
  each_json_line(start, file, [&first](const Json& object, const std::string& /*where*/) {
    first = object;
    return false;
  });
  if (!first.is_object()) {
    throw DataError(file.string() + ": no line holds a JSON object");
  }
  return first;
}

std::string text_of(const Json& object, std::string_view key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    throw DataError(where + ": " + std::string(key) + " is missing or no string");
  }
  return found->get<std::string>();
}

}  // namespace kvg::datasets
