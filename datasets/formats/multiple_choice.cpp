// HellaSwag (Zellers et al. 2019, arXiv:1905.07830): which of several endings is the likeliest. The
// prompt and the endings are cleaned as EleutherAI's evaluation harness does it, so that figures
// can be held to its `acc` and `acc_norm`: the activity in front, no bracketed marks.

#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "datasets/formats/formats.h"
#include "datasets/text_file.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

using Json = nlohmann::json;

void replace_all(std::string_view from, std::string_view to, std::string& text) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// "[title]" ends a sentence, other marks in brackets go.
std::string clean(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  replace_all(" [title]", ". ", text);
  std::string kept;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::size_t close = text[at] == '[' ? text.find(']', at) : std::string::npos;
    if (close == std::string::npos) {
      kept += text[at];
    } else {
      at = close;
    }
  }
  replace_all("  ", " ", kept);
  return kept;
}

std::string prompt_of(const Json& line, const std::string& where) {
  std::string text;
  if (line.contains("ctx_a") && line.contains("ctx_b")) {
    std::string second = text_of(line, "ctx_b", where);
    if (!second.empty()) {
      second.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(second.front())));
    }
    text = text_of(line, "ctx_a", where) + " " + second;
  } else {
    text = text_of(line, "ctx", where);
  }
  if (line.contains("activity_label")) {
    text = text_of(line, "activity_label", where) + ": " + text;
  }
  return clean(std::move(text));
}

// The label is a number, or a text that holds one.
std::size_t label_of(const Json& line, std::size_t choices, const std::string& where) {
  const auto label = line.find("label");
  std::size_t value = choices;
  if (label != line.end() && label->is_number_unsigned()) {
    value = label->get<std::size_t>();
  } else if (label != line.end() && label->is_string()) {
    const auto text = label->get<std::string>();
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  if (value >= choices) {
    throw DataError(where + ": label names none of the " + std::to_string(choices) + " endings");
  }
  return value;
}

bool matches(const Json& line) {
  return line.contains("endings");
}

FileQuestion read(const Json& line, const LinePlace& place) {
  const Json& endings = line.at("endings");
  if (!endings.is_array() || endings.size() < 2) {
    throw DataError(place.where + ": endings are no list of at least two");
  }
  FileQuestion question{.task = "multiple_choice",
                        .prompt = {.context = prompt_of(line, place.where), .question = {}},
                        .judge = Judge::kChoice};
  for (const Json& ending : endings) {
    if (!ending.is_string()) {
      throw DataError(place.where + ": an ending is no string");
    }
    question.choices.push_back(" " + clean(ending.get<std::string>()));
    if (question.choices.back().size() == 1) {
      throw DataError(place.where + ": an ending is empty");
    }
  }
  question.right = label_of(line, question.choices.size(), place.where);
  return question;
}

}  // namespace

constinit const FormatInfo kMultipleChoice{
    .name = "HellaSwag",
    .fields = "ctx, endings, label",
    .summary = "the likeliest ending, by the sum and by the mean of a character",
    .matches = matches,
    .read = read};

}  // namespace kvg::datasets
