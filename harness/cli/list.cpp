#include <algorithm>
#include <array>
#include <iostream>
#include <memory>

#include "datasets/text.h"
#include "harness/cli/cli.h"
#include "kernels/core/error.h"
#include "kernels/device.h"
#include "kvcompress/selection.h"
#include "model/checkpoint.h"

namespace kvg::harness::cli {
namespace {

void list_policies() {
  for (const kvcompress::SelectionInfo& selection : kvcompress::selections()) {
    std::cout << selection.name << ": " << selection.summary;
    if (!selection.paper.empty()) {
      std::cout << " (" << selection.paper << ")";
    }
    std::cout << '\n';
    for (const kvcompress::ParamInfo& param : selection.params) {
      std::cout << "  " << param.name << "=";
      if (param.type == kvcompress::ParamInfo::Type::kChoice) {
        std::cout << param.choices;
      } else {
        std::cout << param.min << ".." << param.max;
      }
      if (!param.default_value.empty()) {
        std::cout << ", default " << param.default_value;
      }
      std::cout << (param.help.empty() ? "" : ": ") << param.help << '\n';
    }
  }
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
                               Listing{"models", list_models},
                               Listing{"datasets", list_datasets},
                               Listing{"devices", list_devices}};

}  // namespace

void add_list(CLI::App& app, Action& action) {
  auto what = std::make_shared<std::string>();
  CLI::App* const list = app.add_subcommand("list", "List what a run can be given.");
  list->add_option("what", *what, "policies, models, datasets or devices")->required();
  list->footer("Examples:\n  kvgauge list policies\n  kvgauge list models");
  list->callback([what, &action] {
    action = [what] {
      const auto* const listing =
          std::ranges::find(kListings, std::string_view(*what), &Listing::name);
      if (listing == kListings.end()) {
        throw InvalidArgument("nothing to list by the name \"" + *what +
                              "\"; known: policies, models, datasets, devices");
      }
      listing->print();
      return kAllMeasured;
    };
  });
}

}  // namespace kvg::harness::cli
