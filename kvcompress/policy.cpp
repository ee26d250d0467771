#include "kvcompress/policy.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::kvcompress {
namespace {

std::string known_names() {
  std::string names;
  for (const SelectionInfo& info : selections()) {
    names += names.empty() ? "" : ", ";
    names += info.name;
  }
  return names;
}

const SelectionInfo* find_selection(std::string_view name) {
  const auto all = selections();
  const auto it =
      std::ranges::find_if(all, [&](const SelectionInfo& info) { return info.name == name; });
  return it == all.end() ? nullptr : &*it;
}

bool takes_budget(const SelectionInfo& info) {
  return std::ranges::any_of(info.params,
                             [](const ParamInfo& param) { return param.name == "budget"; });
}

// "streaming_256" is "streaming:budget=256", for every selection that takes a budget.
void expand_alias(SpecPart& part) {
  const std::size_t underscore = part.name.rfind('_');
  if (underscore == std::string::npos || !part.params.empty()) {
    return;
  }
  const std::string budget = part.name.substr(underscore + 1);
  const SelectionInfo* info = find_selection(std::string_view(part.name).substr(0, underscore));
  const bool digits =
      !budget.empty() && budget.find_first_not_of("0123456789") == std::string::npos;
  if (info != nullptr && takes_budget(*info) && digits) {
    part.name.resize(underscore);
    part.params.emplace("budget", budget);
  }
}

}  // namespace

Policy parse_policy(std::string_view text) {
  SpecPart part = split_spec(text);
  expand_alias(part);
  const SelectionInfo* info = find_selection(part.name);
  if (info == nullptr) {
    throw InvalidArgument("no policy named \"" + part.name + "\"; known: " + known_names() +
                          ", and NAME_N for NAME:budget=N");
  }
  const Params params(info->name, info->params, part.params);
  const std::string values = params.canonical();
  return {.method = std::string(text),
          .canonical = part.name + (values.empty() ? "" : ":" + values),
          .selection = info->make(params)};
}

}  // namespace kvg::kvcompress
