#include "harness/choices.h"

#include <charconv>

#include "harness/number_list.h"
#include "kernels/core/error.h"
#include "kvcompress/spec.h"

namespace kvg::harness {
namespace {

using Takes = Choice::Takes;

std::string range_of(std::int64_t least, std::int64_t most) {
  return "; allowed: " + std::to_string(least) + " to " + std::to_string(most);
}

// False unless all of `text` is one whole number that T holds.
template <typename T>
bool is_whole(const std::string& text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && rest == end;
}

std::int32_t parse_count(const CountInfo& count, const std::string& text) {
  std::int32_t value = 0;
  if (!is_whole(text, value) || value == kAuto) {
    throw InvalidArgument(std::string(count.flag) + " " + text + " is no whole number in range" +
                          range_of(count.min, count.max));
  }
  return value;
}

void give_count(const CountInfo& count, Grid& grid, const std::string& text) {
  if (text == "auto" && !count.automatic.empty()) {
    grid.base.*count.member = kAuto;
  } else if (count.several && text.find_first_of(",-*+", 1) != std::string::npos) {
    grid.counts.push_back(
        {.count = &count, .values = parse_numbers(text, {count.flag, count.min, count.max})});
  } else {
    grid.base.*count.member = parse_count(count, text);
  }
}

std::uint64_t parse_seed(const std::string& text) {
  std::uint64_t value = 0;
  // JSON readers take signed numbers.
  if (!is_whole(text, value) || value > std::uint64_t{INT64_MAX}) {
    throw InvalidArgument("--seed " + text + " is no whole number in range" +
                          range_of(0, INT64_MAX));
  }
  return value;
}

void give_policies(Grid& grid, const std::string& text) {
  for (const std::string& spec : kvcompress::split_policy_list(text)) {
    for (std::string& policy : expand_policy(spec)) {
      grid.policies.push_back(std::move(policy));
    }
  }
}

std::string help_of(const CountInfo& count) {
  std::string help(count.help);
  if (!count.protocols.empty()) {
    std::string names;
    for (const char letter : count.protocols) {
      names += letter == ' ' ? ", " : std::string(1, letter);
    }
    help = names + ": " + help;
  }
  if (count.several) {
    help += "; a list gives a row each";
  }
  if (count.default_value) {
    help += " [" + std::to_string(*count.default_value) +
            (count.automatic.empty() ? "" : "; " + std::string(count.automatic) + ": auto") + "]";
  }
  return help;
}

Choice choice_of(const CountInfo& count) {
  return {.flag = std::string(count.flag),
          .plural = count.flag == "--batch" ? "batches" : "",
          .type_name = count.several ? "LIST" : "N",
          .help = help_of(count),
          .takes = count.several ? Takes::kList : Takes::kOne,
          .give = [&count](Grid& grid, const std::string& text) { give_count(count, grid, text); }};
}

template <std::string Experiment::*Member>
void give_text(Grid& grid, const std::string& text) {
  grid.base.*Member = text;
}

void give_no_kl(Grid& grid, const std::string& text) {
  if (text != "true" && text != "false") {
    throw InvalidArgument("--no-kl " + text + " is neither true nor false");
  }
  grid.base.kl = text == "false";
}

// Models, texts and policies.
void add_subjects(std::vector<Choice>& all) {
  all.push_back({.flag = "--model",
                 .plural = "models",
                 .type_name = "TEXT",
                 .help = "folder, shipped name, or synthetic:NAME|PATH/config.json; repeatable "
                         "[tiny-llama]",
                 .takes = Takes::kRepeated,
                 .give = [](Grid& grid, const std::string& text) { grid.models.push_back(text); }});
  all.push_back(
      {.flag = "--dataset",
       .plural = "datasets",
       .type_name = "TEXT",
       .help = "shipped name, text file or corpus (.jsonl), task, or file of questions (.jsonl); "
               "repeatable [persuasion; task: niah]",
       .takes = Takes::kRepeated,
       .give = [](Grid& grid, const std::string& text) { grid.base.datasets.push_back(text); }});
  all.push_back({.flag = "--policy",
                 .plural = "policies",
                 .type_name = "TEXT",
                 .help = "spec SELECTION:key=value+CODEC:key=value, comma list of bare names, all, "
                         "or suite:eviction|codecs|quick; budgets as ranges too, "
                         "window_256-1024*2; repeatable; see kvgauge list policies, list codecs "
                         "[baseline,streaming_256,streaming_512,streaming_1024]",
                 .takes = Takes::kRepeated,
                 .give = give_policies});
}

void add_protocol(std::vector<Choice>& all) {
  all.push_back(
      {.flag = "--protocol",
       .type_name = "TEXT",
       .help = "stream, split, speed, score or task [task for tasks and questions, else stream]",
       .give = [](Grid& grid, const std::string& text) { grid.protocol = text; }});
  all.push_back(
      {.flag = "--convention",
       .type_name = "TEXT",
       .help = "stream, score: how perplexity is measured: stream, gptq-N, llama.cpp-N, stride or "
               "stride-N; see kvgauge list conventions [stream]",
       .give = [](Grid& grid, const std::string& text) { grid.base.convention = text; }});
  all.push_back(
      {.flag = "--context",
       .type_name = "LIST",
       .help = "task: most tokens of a prompt, a row each: 500,1000,1900 or 256-4096*2 [1000]",
       .takes = Takes::kList,
       .give = [](Grid& grid, const std::string& text) {
         grid.base.contexts = parse_numbers(text, {"--context", 16, 4'194'304});
       }});
  all.push_back({.flag = "--depth",
                 .plural = "depths",
                 .type_name = "LIST",
                 .help = "task: percent of the text before what is asked for: 0,50,100 or 0-100+10 "
                         "[0-100+25]",
                 .takes = Takes::kList,
                 .give = [](Grid& grid, const std::string& text) {
                   grid.base.depths = parse_numbers(text, {"--depth", 0, 100});
                 }});
  all.push_back(
      {.flag = "--query",
       .type_name = "TEXT",
       .help = "task: aware (the cut has seen the question) or agnostic (it has not) [aware]",
       .give = [](Grid& grid, const std::string& text) { grid.base.query = text; }});
  all.push_back({.flag = "--no-kl",
                 .help = "stream, split, score: without the pass beside the baseline that kl_mean "
                         "and kl_p99 take",
                 .takes = Takes::kNothing,
                 .give = give_no_kl});
}

void add_place(std::vector<Choice>& all) {
  all.push_back({.flag = "--device",
                 .type_name = "TEXT",
                 .help = "auto, cpu, cuda or cuda:N [auto]",
                 .give = give_text<&Experiment::device>});
  all.push_back({.flag = "--dtype",
                 .type_name = "TEXT",
                 .help = "auto, f32, f16 or bf16 [auto]",
                 .give = give_text<&Experiment::dtype>});
  all.push_back(
      {.flag = "--seed",
       .type_name = "N",
       .help = "of random ids, synthetic weights and tasks [0]",
       .give = [](Grid& grid, const std::string& text) { grid.base.seed = parse_seed(text); }});
  all.push_back({.flag = "--memory-limit",
                 .type_name = "SIZE",
                 .help = "bytes the device's pool may hold, such as 8GiB: a smaller device",
                 .give = [](Grid& grid, const std::string& text) {
                   grid.base.memory_limit = parse_size(text);
                 }});
}

}  // namespace

std::vector<Choice> choices() {
  std::vector<Choice> all;
  add_subjects(all);
  add_protocol(all);
  add_place(all);
  for (const CountInfo& count : counts()) {
    all.push_back(choice_of(count));
  }
  return all;
}

}  // namespace kvg::harness
