#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <string>

#include "datasets/convention.h"
#include "datasets/metric.h"
#include "datasets/question_file.h"
#include "datasets/task.h"
#include "datasets/text.h"
#include "harness/cli/cli.h"
#include "harness/task_workload.h"
#include "kernels/core/error.h"
#include "kernels/device.h"
#include "kernels/form_pairs.h"
#include "kvcompress/codec.h"
#include "kvcompress/selection.h"
#include "model/checkpoint.h"

namespace kvg::harness::cli {
namespace {

using kvcompress::ParamInfo;

std::string values_of(const ParamInfo& param) {
  switch (param.type) {
    case ParamInfo::Type::kChoice:
      return std::string(param.choices);
    case ParamInfo::Type::kReal:
      return "(0.." + std::to_string(param.max) + "]";
    case ParamInfo::Type::kText:
      return "TEXT";
    case ParamInfo::Type::kInt:
      break;
  }
  return std::to_string(param.min) + ".." + std::to_string(param.max);
}

std::string default_of(const ParamInfo& param, bool needs_prompt) {
  if (param.default_value.empty()) {
    return param.optional ? "optional" : "required";
  }
  const std::string with_steps(param.default_value);
  if (param.prompt_default.empty()) {
    return "default " + with_steps;
  }
  const std::string with_prompt(param.prompt_default);
  return "default " +
         (needs_prompt ? with_prompt : with_prompt + " after a prompt, else " + with_steps);
}

// The head line and the parameters of a selection or a codec.
template <typename Info>
void print_info(const Info& info, bool needs_prompt) {
  std::cout << info.name << ": " << info.summary
            << (needs_prompt ? "; needs a prompt: split, speed, task" : "");
  if (!info.paper.empty()) {
    std::cout << " (" << info.paper << ")";
  }
  std::cout << '\n';
  for (const ParamInfo& param : info.params) {
    std::cout << "  " << param.name << "=" << values_of(param) << ", "
              << default_of(param, needs_prompt) << (param.help.empty() ? "" : ": ") << param.help
              << '\n';
  }
}

void list_policies() {
  for (const kvcompress::SelectionInfo& selection : kvcompress::selections()) {
    print_info(selection, !selection.with_steps);
  }
  std::cout << "\nNAME_N is NAME:budget=N. A codec may follow: NAME:key=value+CODEC; see "
               "kvgauge list codecs.\n"
               "suite:eviction runs every selection, suite:codecs every codec, all both, "
               "suite:quick a few.\n";
}

void list_codecs() {
  for (const kvcompress::CodecInfo& codec : kvcompress::codecs()) {
    const std::string name(codec.name);
    print_info(codec, kvcompress::make_codec({.name = name, .params = {}}).needs_prompt());
  }
  std::cout << "\nA codec's name alone is baseline+CODEC. Keys and values may differ: "
               "baseline+k=int8,v=int4,v.group=64.\n"
               "Attention reads these pairs of keys/values: "
            << kernels::list_form_pairs() << '\n';
}

void list_models() {
  for (const std::string& name : model::shipped_checkpoints()) {
    std::cout << name << '\n';
  }
  for (const std::string& name : model::shipped_shapes()) {
    std::cout << "synthetic:" << name << '\n';
  }
}

void list_datasets() {
  for (const std::string& name : datasets::shipped_texts()) {
    std::cout << name << '\n';
  }
  std::cout << kAllTasks << ": every task below, and their mean\n";
  for (const datasets::TaskInfo& task : datasets::tasks()) {
    std::cout << task.name << ": " << task.summary << '\n';
  }
  std::cout
      << "\nFILE.jsonl, by the fields of its lines (--protocol task alone tells the last from "
         "a corpus):\n";
  for (const datasets::FormatInfo& format : datasets::formats()) {
    std::cout << format.name << " (" << format.fields << "): " << format.summary << '\n';
  }
  std::cout << "\nTheir metrics:\n";
  for (const datasets::MetricInfo& metric : datasets::metrics()) {
    std::cout << metric.name << ": " << metric.summary << '\n';
  }
}

void list_conventions() {
  for (const datasets::ConventionInfo& convention : datasets::conventions()) {
    std::cout << convention.form << ": " << convention.summary << '\n';
  }
}

void list_devices() {
  for (const kernels::DeviceInfo& device : kernels::available_devices()) {
    std::cout << device.id << ": " << device.name << '\n';
  }
}

struct Listing {
  std::string_view name;
  void (*print)();
};

constexpr std::array kListings{Listing{"policies", list_policies},
                               Listing{"codecs", list_codecs},
                               Listing{"models", list_models},
                               Listing{"datasets", list_datasets},
                               Listing{"conventions", list_conventions},
                               Listing{"devices", list_devices}};

}  // namespace

void add_list(CLI::App& app, Action& action) {
  auto what = std::make_shared<std::string>();
  CLI::App* const list = app.add_subcommand("list", "List what a run can be given.");
  list->add_option("what", *what, "policies, codecs, models, datasets, conventions or devices")
      ->required();
  list->footer("Examples:\n  kvgauge list policies\n  kvgauge list codecs\n  kvgauge list models");
  list->callback([what, &action] {
    action = [what] {
      const auto* const listing =
          std::ranges::find(kListings, std::string_view(*what), &Listing::name);
      if (listing == kListings.end()) {
        throw InvalidArgument(
            "nothing to list by the name \"" + *what +
            "\"; known: policies, codecs, models, datasets, conventions, devices");
      }
      listing->print();
      return kAllMeasured;
    };
  });
}

}  // namespace kvg::harness::cli
