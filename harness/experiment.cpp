#include "harness/experiment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "harness/protocol.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

constexpr std::int32_t kMaxTokens = 4'194'304;
constexpr std::int64_t kMaxRandomIds = std::int64_t{kMaxTokens} * 16;

constexpr std::array kCounts{
    CountInfo{.flag = "--max-tokens",
              .member = &Experiment::max_tokens,
              .min = 2,
              .max = kMaxTokens,
              .default_value = 2000,
              .protocols = "stream split score",
              .several = true,
              .help = "most tokens of a sample, the BOS included"},
    CountInfo{.flag = "--num-samples",
              .member = &Experiment::num_samples,
              .min = 1,
              .max = 100'000,
              .default_value = 3,
              .protocols = "stream split score task",
              .help = "samples cut one after another from each text; task: of each task and depth"},
    CountInfo{.flag = "--prefill",
              .member = &Experiment::prefill,
              .min = 1,
              .max = kMaxTokens,
              .default_value = {},
              .protocols = "split",
              .several = true,
              .help = "tokens of a sample fed as its prompt (default: half of them)"},
    CountInfo{.flag = "--prompt-len",
              .member = &Experiment::prompt_len,
              .min = 1,
              .max = kMaxTokens,
              .default_value = 512,
              .protocols = "speed",
              .several = true,
              .help = "tokens of each prompt"},
    CountInfo{.flag = "--gen-len",
              .member = &Experiment::gen_len,
              .min = 1,
              .max = kMaxTokens,
              .default_value = 128,
              .protocols = "speed",
              .several = true,
              .help = "tokens generated for each prompt; the prompt itself yields the first"},
    CountInfo{.flag = "--batch",
              .member = &Experiment::batch,
              .min = 1,
              .max = kMaxBatch,
              .default_value = 1,
              .protocols = "speed score",
              .automatic = "score",
              .several = true,
              .help = "prompts or samples run together; score takes auto: as many as memory "
                      "holds, of one masked pass no more than fill a product"},
    CountInfo{.flag = "--repetitions",
              .member = &Experiment::repetitions,
              .min = 1,
              .max = 10'000,
              .default_value = 5,
              .protocols = "speed",
              .help = "timed runs; the row holds their medians"},
    CountInfo{.flag = "--warmup",
              .member = &Experiment::warmup,
              .min = 0,
              .max = 1'000'000,
              .default_value = 32,
              .protocols = "stream split speed task",
              .help = "untimed steps before the first sample of each policy (split, speed: after "
                      "one untimed prompt); 0: none of both"},
    CountInfo{.flag = "--threads",
              .member = &Experiment::threads,
              .min = 1,
              .max = 4096,
              .default_value = {},
              .protocols = "",
              .help = "threads of the cpu (default: all of them)"},
};

bool names(std::string_view list, std::string_view word) {
  return list.empty() ||
         (" " + std::string(list) + " ").find(" " + std::string(word) + " ") != std::string::npos;
}

bool takes_auto(const CountInfo& count, std::string_view protocol) {
  return !count.automatic.empty() && names(count.automatic, protocol);
}

void check_counts(const Experiment& experiment) {
  for (const CountInfo& count : counts()) {
    const std::optional<std::int32_t>& value = experiment.*count.member;
    if (!value) {
      continue;
    }
    const std::string flag(count.flag);
    if (!names(count.protocols, experiment.protocol)) {
      throw InvalidArgument(flag + " means nothing to protocol " + experiment.protocol +
                            "; it belongs to: " + std::string(count.protocols));
    }
    if (*value == kAuto) {
      if (!takes_auto(count, experiment.protocol)) {
        throw InvalidArgument(flag + " auto means nothing to protocol " + experiment.protocol +
                              "; it belongs to: " + std::string(count.automatic));
      }
      continue;
    }
    if (*value < count.min || *value > count.max) {
      throw InvalidArgument(flag + " " + std::to_string(*value) + " is out of range; allowed: " +
                            std::to_string(count.min) + " to " + std::to_string(count.max));
    }
  }
}

std::string flag_of(std::optional<std::int32_t> Experiment::*member) {
  return std::string(std::ranges::find(kCounts, member, &CountInfo::member)->flag);
}

// Random ids are drawn before a plan says whether they fit.
void check_product(const Experiment& experiment,
                   std::optional<std::int32_t> Experiment::*rows,
                   std::optional<std::int32_t> Experiment::*length) {
  const std::int64_t ids = std::int64_t{value_of(experiment, rows)} * value_of(experiment, length);
  if (ids > kMaxRandomIds) {
    throw InvalidArgument(flag_of(rows) + " times " + flag_of(length) + " is " +
                          std::to_string(ids) + "; at most " + std::to_string(kMaxRandomIds));
  }
}

void check_task_choice(const Experiment& experiment) {
  const auto& query = experiment.query;
  if (experiment.protocol != "task") {
    const std::string flag = !experiment.contexts.empty() ? "--context"
                             : !experiment.depths.empty() ? "--depth"
                             : query                      ? "--query"
                                                          : "";
    if (!flag.empty()) {
      throw InvalidArgument(flag + " means nothing to protocol " + experiment.protocol +
                            "; it belongs to: task");
    }
    return;
  }
  if (is_synthetic(experiment)) {
    throw InvalidArgument("protocol task means nothing to --model " + experiment.model +
                          ": a synthetic model has no tokenizer and answers nothing");
  }
  if (query && *query != "aware" && *query != "agnostic") {
    throw InvalidArgument("--query " + *query + " is unknown; allowed: aware, agnostic");
  }
}

void check_together(const Experiment& experiment) {
  const bool reads_text = find_protocol(experiment.protocol).reads_text;
  if (!experiment.datasets.empty() && !reads_text) {
    throw InvalidArgument("--dataset means nothing to protocol " + experiment.protocol +
                          ", which feeds random token ids");
  }
  if (!experiment.datasets.empty() && is_synthetic(experiment)) {
    throw InvalidArgument("--dataset means nothing to --model " + experiment.model +
                          ": a synthetic model has no tokenizer and takes random token ids");
  }
  check_task_choice(experiment);
  if (experiment.prefill && *experiment.prefill >= value_of(experiment, &Experiment::max_tokens)) {
    throw InvalidArgument("--prefill " + std::to_string(*experiment.prefill) +
                          " leaves nothing to score; allowed: 1 to --max-tokens - 1, here " +
                          std::to_string(value_of(experiment, &Experiment::max_tokens) - 1));
  }
  if (!reads_text) {
    check_product(experiment, &Experiment::batch, &Experiment::prompt_len);
  } else if (is_synthetic(experiment)) {
    check_product(experiment, &Experiment::num_samples, &Experiment::max_tokens);
  }
  if (!experiment.kl && !find_protocol(experiment.protocol).scores_text) {
    throw InvalidArgument("--no-kl means nothing to protocol " + experiment.protocol +
                          "; it belongs to: stream, split, score");
  }
  if (experiment.policies.empty()) {
    throw InvalidArgument("no --policy is left to run");
  }
}

bool has_convention(const Experiment& experiment) {
  return experiment.protocol == "stream" || experiment.protocol == "score";
}

void check_convention(const Experiment& experiment) {
  if (!experiment.convention) {
    return;
  }
  if (!has_convention(experiment)) {
    throw InvalidArgument("--convention means nothing to protocol " + experiment.protocol +
                          "; it belongs to: stream, score");
  }
  if (is_synthetic(experiment)) {
    throw InvalidArgument("--convention means nothing to --model " + experiment.model +
                          ", which takes random token ids");
  }
  const datasets::Convention convention = datasets::parse_convention(*experiment.convention);
  if (convention.info->names_window && experiment.max_tokens) {
    throw InvalidArgument("--max-tokens means nothing to --convention " + convention.text +
                          ", which names its window");
  }
  const std::int32_t window = convention_of(experiment).window;
  if (convention.stride > window) {
    throw InvalidArgument("--convention " + convention.text + " moves by " +
                          std::to_string(convention.stride) + " tokens, more than the " +
                          std::to_string(window) + " of --max-tokens");
  }
}

void set(std::vector<Setting>& settings, std::string_view name, decltype(Setting::value) value) {
  std::ranges::find(settings, name, &Setting::name)->value = std::move(value);
}

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr double kKi = 1024.0;
constexpr double kK = 1000.0;
constexpr std::array kUnits{Unit{"", 1.0},
                            Unit{"b", 1.0},
                            Unit{"kb", kK},
                            Unit{"mb", kK* kK},
                            Unit{"gb", kK* kK* kK},
                            Unit{"tb", kK* kK* kK* kK},
                            Unit{"kib", kKi},
                            Unit{"mib", kKi* kKi},
                            Unit{"gib", kKi* kKi* kKi},
                            Unit{"tib", kKi* kKi* kKi* kKi}};

}  // namespace

std::optional<DType> given_dtype(const Experiment& experiment) {
  if (experiment.dtype == "auto") {
    return {};
  }
  constexpr std::array kTypes{DType::kF32, DType::kF16, DType::kBF16};
  const auto* const found =
      std::ranges::find(kTypes, experiment.dtype, [](DType dtype) { return name_of(dtype); });
  if (found == kTypes.end()) {
    throw InvalidArgument("no dtype named \"" + experiment.dtype +
                          "\"; known: auto, f32, f16, bf16");
  }
  return *found;
}

bool is_synthetic(const Experiment& experiment) {
  return experiment.model.starts_with("synthetic:");
}

std::span<const CountInfo> counts() {
  return kCounts;
}

std::int32_t value_of(const Experiment& experiment,
                      std::optional<std::int32_t> Experiment::*member) {
  const auto* const count = std::ranges::find(kCounts, member, &CountInfo::member);
  KVG_EXPECT(count != kCounts.end() && count->default_value, "the count has a default");
  return (experiment.*member).value_or(*count->default_value);
}

void check(const Experiment& experiment) {
  static_cast<void>(find_protocol(experiment.protocol));
  static_cast<void>(given_dtype(experiment));
  check_counts(experiment);
  check_together(experiment);
  check_convention(experiment);
}

std::int32_t given_batch(const Experiment& experiment) {
  const std::int32_t batch = experiment.batch.value_or(kAuto);
  return batch == kAuto ? 1 : batch;
}

TaskChoice task_choice(const Experiment& experiment) {
  TaskChoice choice;
  if (!experiment.contexts.empty()) {
    choice.contexts = experiment.contexts;
  }
  if (!experiment.depths.empty()) {
    choice.depths = experiment.depths;
  }
  choice.query = experiment.query.value_or(choice.query);
  return choice;
}

datasets::Convention convention_of(const Experiment& experiment) {
  datasets::Convention convention =
      datasets::parse_convention(experiment.convention.value_or("stream"));
  if (convention.window == 0) {
    convention.window = value_of(experiment, &Experiment::max_tokens);
  }
  return convention;
}

std::int32_t most_samples(const Experiment& experiment) {
  const bool whole = !experiment.num_samples && convention_of(experiment).info->whole_text;
  return whole ? kAllSamples : value_of(experiment, &Experiment::num_samples);
}

std::vector<Setting> settings_of(const Experiment& experiment) {
  std::vector<Setting> settings;
  for (const CountInfo& count : counts()) {
    if (!names(count.protocols, experiment.protocol)) {
      continue;
    }
    Setting& setting = settings.emplace_back();
    setting.name = count.flag.substr(2);
    std::ranges::replace(setting.name, '-', '_');
    const std::optional<std::int32_t>& given = experiment.*count.member;
    if (takes_auto(count, experiment.protocol) && given.value_or(kAuto) == kAuto) {
      setting.value = std::string("auto");
    } else if (const std::optional<std::int32_t> value = given ? given : count.default_value) {
      setting.value = std::int64_t{*value};
    }
  }
  if (has_convention(experiment) && !is_synthetic(experiment)) {
    const datasets::Convention convention = convention_of(experiment);
    set(settings, "max_tokens", std::int64_t{convention.window});
    if (most_samples(experiment) == kAllSamples) {
      set(settings, "num_samples", std::string("all"));
    }
    settings.push_back({.name = "convention", .value = convention.text});
  }
  // Only where it is off, so that records from before it could be keep their settings.
  if (!experiment.kl) {
    settings.push_back({.name = "kl", .value = std::string("off")});
  }
  if (experiment.protocol == "task") {
    std::string depths;
    for (const std::int32_t depth : task_choice(experiment).depths) {
      depths += (depths.empty() ? "" : ",") + std::to_string(depth);
    }
    settings.push_back({.name = "depth", .value = std::move(depths)});
  }
  return settings;
}

std::size_t parse_size(std::string_view text) {
  const std::string bad = "size \"" + std::string(text) +
                          "\" is not understood; allowed: a number above 0 with B, KB, MB, GB, TB "
                          "(decimal) or KiB, MiB, GiB, TiB, such as 8GiB";
  double number = 0.0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string unit(rest, end);
  unit.erase(0, unit.find_first_not_of(' '));
  std::ranges::transform(unit, unit.begin(), [](unsigned char letter) {
    return static_cast<char>(std::tolower(letter));
  });
  const auto* const found = std::ranges::find(kUnits, unit, &Unit::name);
  if (error != std::errc{} || found == kUnits.end()) {
    throw InvalidArgument(bad);
  }
  const double bytes = std::floor(number * found->bytes);
  if (!(bytes >= 1.0) || bytes > 9.0e18) {
    throw InvalidArgument(bad);
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace kvg::harness
