#include "kvcompress/policy.h"

#include <algorithm>
#include <array>

#include "kernels/core/error.h"

namespace kvg::kvcompress {
namespace {

std::string known_names() {
  std::string names;
  for (const SelectionInfo& info : selections()) {
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  }
  names += "; codecs: ";
  for (const CodecInfo& info : codecs()) {
    names += (info.name == codecs().front().name ? "" : ", ") + std::string(info.name);
  }
  return names;
}

const SelectionInfo* find_selection(std::string_view name) {
  const auto all = selections();
  const auto it = std::ranges::find(all, name, &SelectionInfo::name);
  return it == all.end() ? nullptr : &*it;
}

bool takes_budget(const SelectionInfo& info) {
  return std::ranges::any_of(info.params,
                             [](const ParamInfo& param) { return param.name == "budget"; });
}

// "streaming_256" is "streaming:budget=256", for every selection that takes a budget.
void expand_alias(SpecPart& part) {
  const std::size_t underscore = part.name.rfind('_');
  if (underscore == std::string::npos || part.params.contains("budget")) {
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

// "int4:group=32" is "baseline+int4:group=32".
void expand_codec(SpecText& spec) {
  if (!spec.codec && find_selection(spec.selection.name) == nullptr &&
      find_codec(spec.selection.name) != nullptr) {
    spec.codec = std::move(spec.selection);
    spec.selection = {.name = "baseline", .params = {}};
  }
}

void check_together(const SelectionInfo& info,
                    const Selection& selection,
                    const Codec& codec,
                    Feed feed) {
  const std::string both = std::string(info.name) + "+" + codec.canonical;
  if (codec.needs_prompt() && feed == Feed::kSteps) {
    throw InvalidArgument(
        "policy " + both +
        ": its channels are chosen from a prompt, and here is none; allowed in the "
        "protocols that have one: split, speed, task");
  }
  if (!codec.append_only()) {
    return;
  }
  // What a selection evicts in steps does not depend on the layer.
  const LayerShape some{
      .layer = 0, .layers = 1, .kv_heads = 1, .prompt = feed == Feed::kPrompt ? 1 : 0};
  if (selection.evicts(some)) {
    throw InvalidArgument("policy " + both +
                          ": entries that wait to be packed come in order and never leave, but " +
                          std::string(info.name) +
                          " evicts in steps; allowed: baseline and prompt cuts with decode=append");
  }
  if (selection.paging()) {
    throw InvalidArgument("policy " + both +
                          ": pages are read where every entry is packed at once; allowed: codecs "
                          "without entries that wait");
  }
}

}  // namespace

Policy parse_policy(std::string_view text, Feed feed) {
  SpecText spec = split_spec(text);
  expand_codec(spec);
  expand_alias(spec.selection);
  SpecPart& part = spec.selection;
  const SelectionInfo* info = find_selection(part.name);
  if (info == nullptr && find_codec(part.name) != nullptr) {
    throw InvalidArgument("policy spec \"" + std::string(text) + "\": " + part.name +
                          " is a codec, and a spec has one, behind its selection; allowed: "
                          "SELECTION+CODEC, or CODEC alone");
  }
  if (info == nullptr) {
    throw InvalidArgument("no policy named \"" + part.name + "\"; known: " + known_names() +
                          ", and NAME_N for NAME:budget=N");
  }
  Params params("policy " + part.name, info->params, part.params, feed);
  if (feed == Feed::kSteps && !info->with_steps) {
    throw InvalidArgument(
        "policy " + part.name +
        " cuts after a prompt, and here is none; allowed in the protocols that have "
        "one: split, speed, task");
  }
  Policy policy{.method = std::string(text), .selection = info->make(params, feed)};
  if (spec.codec) {
    policy.codec = make_codec(*spec.codec);
    check_together(*info, *policy.selection, policy.codec, feed);
  }
  const std::string values = params.canonical();
  policy.canonical = part.name + (values.empty() ? "" : ":" + values) +
                     (spec.codec ? "+" + policy.codec.canonical : "");
  return policy;
}

void check_policy(const Policy& policy,
                  int layers,
                  const kernels::HeadShape& heads,
                  DType compute) {
  try {
    policy.selection->check(layers, heads.kv_heads);
    check_codec(policy.codec, heads.head_dim, compute);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument("policy " + policy.method + ": " + error.what());
  }
}

std::optional<kernels::Visibility> fixed_visibility(const Policy& policy,
                                                    int head_dim,
                                                    DType compute) {
  const kernels::Form native = kernels::native_form(compute);
  const bool as_computed = form_of(policy.codec.keys, head_dim, compute) == native &&
                           form_of(policy.codec.values, head_dim, compute) == native &&
                           !policy.codec.append_only();
  return as_computed ? policy.selection->visible() : std::nullopt;
}

std::vector<std::string> suite_of(std::string_view text) {
  std::vector<std::string> eviction;
  for (const SelectionInfo& info : selections()) {
    eviction.emplace_back(info.example);
  }
  std::vector<std::string> forms{"baseline"};
  for (const CodecInfo& info : codecs()) {
    forms.emplace_back(info.name);
  }
  if (text == "suite:eviction") {
    return eviction;
  }
  if (text == "suite:codecs") {
    return forms;
  }
  if (text == "suite:quick") {
    return {"baseline", "streaming_256", "h2o_256", "snapkv_256", "int8", "int4", "kivi2"};
  }
  if (text == "all") {
    eviction.insert(eviction.end(), forms.begin() + 1, forms.end());
    return eviction;
  }
  if (text.starts_with("suite:")) {
    throw InvalidArgument("no suite named \"" + std::string(text.substr(6)) +
                          "\"; known: suite:eviction, suite:codecs, suite:quick, and all");
  }
  return {};
}

}  // namespace kvg::kvcompress
