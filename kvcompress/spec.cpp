#include "kvcompress/spec.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernels/core/error.h"
#include "kernels/core/utf8.h"

namespace kvg::kvcompress {
namespace {

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string names_of(std::span<const ParamInfo> infos) {
  std::string names;
  for (const ParamInfo& info : infos) {
    names += names.empty() ? "" : ", ";
    names += info.name;
  }
  return names.empty() ? "none" : names;
}

std::string range_of(const ParamInfo& info) {
  switch (info.type) {
    case ParamInfo::Type::kChoice:
      return std::string(info.choices);
    case ParamInfo::Type::kReal:
      return "a number above 0, at most " + std::to_string(info.max);
    case ParamInfo::Type::kText:
      return std::string(info.help);
    case ParamInfo::Type::kInt:
      break;
  }
  return "a whole number from " + std::to_string(info.min) + " to " + std::to_string(info.max);
}

bool is_choice(std::string_view text, std::string_view choices) {
  while (!choices.empty()) {
    const std::size_t bar = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, bar) == text) {
      return true;
    }
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return false;
}

template <typename Number>
bool parse_number(std::string_view text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

// "0.25" for 0.250: equal values give equal canonical specs.
std::string shortest(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::string(text.data(), end) : std::string();
}

std::string_view default_of(const ParamInfo& info, Feed feed) {
  return feed == Feed::kPrompt && !info.prompt_default.empty() ? info.prompt_default
                                                               : info.default_value;
}

}  // namespace

Params::Params(std::string_view owner,
               std::span<const ParamInfo> infos,
               const Given& given,
               Feed feed) {
  for (const auto& [key, text] : given) {
    if (std::ranges::none_of(infos, [name = std::string_view(key)](const ParamInfo& info) {
          return info.name == name;
        })) {
      throw InvalidArgument(std::string(owner) + " has no parameter " + quoted(key) +
                            "; it takes: " + names_of(infos));
    }
  }
  for (const ParamInfo& info : infos) {
    const auto it = given.find(info.name);
    const std::string_view text = it == given.end() ? default_of(info, feed) : it->second;
    if (text.empty() && info.optional) {
      continue;
    }
    if (text.empty()) {
      throw InvalidArgument(std::string(owner) + " needs " + std::string(info.name) + "=, " +
                            range_of(info));
    }
    Value value{.name = std::string(info.name), .text = std::string(text)};
    if (!read(info, value)) {
      throw InvalidArgument(std::string(owner) + ": " + value.name + "=" + value.text +
                            " is not allowed; " + value.name + " is " + range_of(info));
    }
    values_.push_back(std::move(value));
  }
}

bool Params::read(const ParamInfo& info, Value& value) {
  switch (info.type) {
    case ParamInfo::Type::kChoice:
      return is_choice(value.text, info.choices);
    case ParamInfo::Type::kText:
      return true;
    case ParamInfo::Type::kReal:
      if (!parse_number(value.text, value.real) || !(value.real > 0.0) ||
          value.real > static_cast<double>(info.max)) {
        return false;
      }
      value.text = shortest(value.real);
      return true;
    case ParamInfo::Type::kInt:
      break;
  }
  if (!parse_number(value.text, value.integer) || value.integer < info.min ||
      value.integer > info.max) {
    return false;
  }
  value.text = std::to_string(value.integer);
  return true;
}

bool Params::has(std::string_view name) const {
  return std::ranges::any_of(values_, [&](const Value& value) { return value.name == name; });
}

const Params::Value& Params::find(std::string_view name) const {
  const auto it =
      std::ranges::find_if(values_, [&](const Value& value) { return value.name == name; });
  KVG_EXPECT(it != values_.end(), "a parameter that is read is declared and has a value");
  return *it;
}

long Params::integer(std::string_view name) const {
  return find(name).integer;
}

double Params::real(std::string_view name) const {
  return find(name).real;
}

const std::string& Params::text(std::string_view name) const {
  return find(name).text;
}

void Params::complete(std::string_view name, std::string_view text) {
  values_.push_back({.name = std::string(name), .text = std::string(text)});
}

std::string Params::canonical(std::string_view prefix) const {
  std::string text;
  for (const Value& value : values_) {
    text += (text.empty() ? "" : ",") + std::string(prefix) + value.name + "=" + value.text;
  }
  return text;
}

namespace {

// Reads one part of the spec `whole`: name:key=value,... or, where pairs may stand alone,
// key=value,...
SpecPart split_part(std::string_view whole, std::string_view text, bool pairs_alone) {
  const auto malformed = [&](const std::string& reason) -> InvalidArgument {
    return InvalidArgument("policy spec " + quoted(whole) + ": " + reason +
                           "; a spec is SELECTION or SELECTION:key=value,key=value, and may end in "
                           "+CODEC, +CODEC:key=value or +k=CODEC,v=CODEC");
  };
  const std::size_t colon = std::min(text.find(':'), text.size());
  SpecPart part;
  std::string_view rest = text;
  if (colon < text.size() || !pairs_alone || text.find('=') == std::string_view::npos) {
    part.name = std::string(text.substr(0, colon));
    if (part.name.empty()) {
      throw malformed("it has no name");
    }
    if (part.name.find(',') != std::string::npos) {
      throw malformed("a comma list takes bare names alone, give other specs a --policy each");
    }
    if (colon == text.size()) {
      return part;
    }
    rest = text.substr(colon + 1);
  }
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view pair = rest.substr(0, comma);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == pair.size()) {
      throw malformed(quoted(pair) + " is not key=value");
    }
    const std::string key(pair.substr(0, equals));
    if (!part.params.emplace(key, pair.substr(equals + 1)).second) {
      throw malformed(key + " is given twice");
    }
    if (comma == rest.size()) {
      return part;
    }
    rest.remove_prefix(comma + 1);
  }
}

// Specs stand in messages of one line and in records.
void expect_printable(std::string_view text) {
  const auto control = std::ranges::find_if(text, [](char letter) {
    return static_cast<unsigned char>(letter) < 0x20U || letter == 0x7F;
  });
  const auto bad =
      std::min(first_invalid_utf8(text), static_cast<std::size_t>(control - text.begin()));
  if (bad < text.size()) {
    throw InvalidArgument("policy spec: byte " + std::to_string(bad) +
                          " is no printable character of UTF-8");
  }
}

}  // namespace

SpecText split_spec(std::string_view text) {
  expect_printable(text);
  const std::size_t plus = text.find('+');
  const bool sides_alone = text.starts_with("k=") || text.starts_with("v=");
  if (plus == std::string_view::npos && sides_alone) {
    return {.selection = {.name = "baseline", .params = {}}, .codec = split_part(text, text, true)};
  }
  SpecText spec{.selection = split_part(text, text.substr(0, plus), false), .codec = {}};
  if (plus != std::string_view::npos) {
    spec.codec = split_part(text, text.substr(plus + 1), true);
  }
  return spec;
}

std::vector<std::string> split_policy_list(std::string_view text) {
  std::vector<std::string> specs;
  if (text.find_first_of(":=") != std::string_view::npos) {
    specs.emplace_back(text);
    return specs;
  }
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    specs.emplace_back(text.substr(0, comma));
    if (comma == text.size()) {
      return specs;
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace kvg::kvcompress
