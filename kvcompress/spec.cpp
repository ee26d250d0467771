#include "kvcompress/spec.h"

#include <algorithm>
#include <charconv>

#include "kernels/core/error.h"

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
  if (info.type == ParamInfo::Type::kChoice) {
    return std::string(info.choices);
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

bool parse_integer(std::string_view text, long& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

bool fits(const ParamInfo& info, std::string_view text, long& integer) {
  if (info.type == ParamInfo::Type::kChoice) {
    return is_choice(text, info.choices);
  }
  return parse_integer(text, integer) && integer >= info.min && integer <= info.max;
}

}  // namespace

Params::Params(std::string_view owner,
               std::span<const ParamInfo> infos,
               const std::map<std::string, std::string, std::less<>>& given) {
  for (const auto& [key, text] : given) {
    if (std::ranges::none_of(infos, [name = std::string_view(key)](const ParamInfo& info) {
          return info.name == name;
        })) {
      throw InvalidArgument("policy " + std::string(owner) + " has no parameter " + quoted(key) +
                            "; it takes: " + names_of(infos));
    }
  }
  for (const ParamInfo& info : infos) {
    const auto it = given.find(info.name);
    if (it == given.end() && info.default_value.empty()) {
      throw InvalidArgument("policy " + std::string(owner) + " needs " + std::string(info.name) +
                            "=, " + range_of(info));
    }
    Value value{.name = std::string(info.name),
                .text = it == given.end() ? std::string(info.default_value) : it->second,
                .integer = 0};
    if (!fits(info, value.text, value.integer)) {
      throw InvalidArgument("policy " + std::string(owner) + ": " + value.name + "=" + value.text +
                            " is not allowed; " + value.name + " is " + range_of(info));
    }
    if (info.type == ParamInfo::Type::kInt) {
      value.text = std::to_string(value.integer);
    }
    values_.push_back(std::move(value));
  }
}

const Params::Value& Params::find(std::string_view name) const {
  const auto it =
      std::ranges::find_if(values_, [&](const Value& value) { return value.name == name; });
  KVG_EXPECT(it != values_.end(), "the selection declares the parameter it reads");
  return *it;
}

long Params::integer(std::string_view name) const {
  return find(name).integer;
}

const std::string& Params::choice(std::string_view name) const {
  return find(name).text;
}

std::string Params::canonical() const {
  std::string text;
  for (const Value& value : values_) {
    text += (text.empty() ? "" : ",") + value.name + "=" + value.text;
  }
  return text;
}

SpecPart split_spec(std::string_view text) {
  const auto malformed = [&](const std::string& reason) -> InvalidArgument {
    return InvalidArgument("policy spec " + quoted(text) + ": " + reason +
                           "; a spec is name or name:key=value,key=value");
  };
  const std::size_t colon = std::min(text.find(':'), text.size());
  SpecPart part{.name = std::string(text.substr(0, colon)), .params = {}};
  if (part.name.empty()) {
    throw malformed("it has no name");
  }
  if (part.name.find(',') != std::string::npos) {
    throw malformed("a comma list takes bare names alone, give other specs a --policy each");
  }
  if (colon == text.size()) {
    return part;
  }
  std::string_view rest = text.substr(colon + 1);
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

std::vector<std::string> split_policy_list(std::string_view text) {
  std::vector<std::string> specs;
  if (text.find(':') != std::string_view::npos) {
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
