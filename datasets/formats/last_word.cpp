// LAMBADA (Paperno et al. 2016, arXiv:1606.06031) as language models are asked: the last word of a
// passage, right when greedy decoding yields all of its tokens.

#include <nlohmann/json.hpp>

#include "datasets/formats/formats.h"
#include "datasets/text_file.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

bool matches(const nlohmann::json& line) {
  return line.contains("text");
}

FileQuestion read(const nlohmann::json& line, const LinePlace& place) {
  std::string text = text_of(line, "text", place.where);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  const std::size_t space = text.rfind(' ');
  if (space == std::string::npos || space == 0) {
    throw DataError(place.where + ": text has no word before its last");
  }
  return {.task = "last_word",
          .prompt = {.context = text.substr(0, space), .question = {}},
          .judge = Judge::kExactWords,
          .choices = {text.substr(space)}};
}

}  // namespace

constinit const FormatInfo kLastWord{
    .name = "LAMBADA",
    .fields = "text; with --protocol task",
    .summary = "the last word of each text: 1 when greedy decoding yields it",
    .matches = matches,
    .read = read};

}  // namespace kvg::datasets
