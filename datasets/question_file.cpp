#include "datasets/question_file.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "datasets/formats/formats.h"
#include "datasets/text_file.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"

namespace kvg::datasets {
namespace {

using Json = nlohmann::json;

const FormatInfo* format_of(const Json& line) {
  const auto all = formats();
  const auto found =
      std::ranges::find_if(all, [&line](const FormatInfo& format) { return format.matches(line); });
  return found == all.end() ? nullptr : &*found;
}

[[noreturn]] void refuse_fields(const std::string& where) {
  std::string known;
  for (const FormatInfo& format : formats()) {
    known += (known.empty() ? "" : "; ") + std::string(format.name) + " (" +
             std::string(format.fields) + ")";
  }
  throw DataError(where + ": its fields are of no known format; known: " + known);
}

}  // namespace

std::span<const FormatInfo> formats() {
  static const std::array kFormats{kMultipleChoice, kRuler, kLongBench, kLastWord};
  return kFormats;
}

bool asks_questions(std::string_view path) {
  const std::filesystem::path file(path);
  std::error_code error;
  if (!is_json_lines(file) || !std::filesystem::is_regular_file(file, error)) {
    return false;
  }
  const FormatInfo* const format = format_of(first_json_line(file));
  return format != nullptr && format->name != kLastWord.name;
}

QuestionFile load_questions(std::string_view path, std::size_t most) {
  const std::filesystem::path file(path);
  const std::string content = read_text_file(file);
  QuestionFile result{.name = std::string(path), .sha256 = sha256_hex(content), .questions = {}};
  const FormatInfo* format = nullptr;
  each_json_line(content, file, [&](const Json& line, const std::string& where) {
    format = format == nullptr ? format_of(line) : format;
    if (format == nullptr) {
      refuse_fields(where);
    }
    result.questions.push_back(format->read(line, {.file = file, .where = where}));
    return result.questions.size() < most;
  });
  if (result.questions.empty()) {
    throw DataError(file.string() + ": no line holds a JSON object");
  }
  return result;
}

}  // namespace kvg::datasets
