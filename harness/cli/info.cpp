#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "harness/cli/cli.h"
#include "harness/columns.h"
#include "harness/environment.h"
#include "harness/json_document.h"

namespace kvg::harness::cli {
namespace {

void print_json() {
  const BuildInfo& build = build_info();
  nlohmann::ordered_json document = {
      {"schema", "kvgauge.info/1"},
      {"version", build.version},
      {"commit", build.commit},
      {"dirty", build.dirty ? nlohmann::ordered_json(*build.dirty) : nullptr},
      {"devices", nlohmann::ordered_json::array()}};
  for (const kernels::DeviceInfo& device : kernels::available_devices()) {
    document["devices"].push_back(to_json(device));
  }
  std::cout << document.dump(2) << '\n';
}

void print_device(const kernels::DeviceInfo& device) {
  const auto line = [](std::string_view name, const std::string& value) {
    if (!value.empty()) {
      std::cout << "  " << name << std::string(20 - name.size(), ' ') << value << '\n';
    }
  };
  std::cout << device.id << '\n';
  line("name", device.name);
  line("memory",
       gigabytes(static_cast<double>(device.total_bytes)) + ", " +
           gigabytes(static_cast<double>(device.free_bytes)) + " free");
  line("compute capability", device.compute_capability);
  line("driver", device.driver);
  line("CUDA runtime", device.runtime);
  line("matrix products", device.gemm);
  line("attention, prompt", device.prefill_attention);
  line("attention, step", device.decode_attention);
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App* const info = app.add_subcommand("info", "Show the devices and the paths they take.");
  info->add_flag("--json", *json, "print one JSON document");
  info->footer("Examples:\n  kvgauge info\n  kvgauge info --json");
  info->callback([json, &action] {
    action = [json] {
      if (*json) {
        print_json();
        return kAllMeasured;
      }
      std::cout << version_line() << '\n';
      for (const kernels::DeviceInfo& device : kernels::available_devices()) {
        print_device(device);
      }
      return kAllMeasured;
    };
  });
}

}  // namespace kvg::harness::cli
