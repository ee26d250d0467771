// Files of sweeps, as JSON and as YAML. What runs a grid is not built here: no dataset is a task.

#include "harness/sweep_file.h"
#include "harness/task_workload.h"
#include "tests/fuzz/refusal.h"

namespace kvg::harness {

bool is_task(std::string_view /*dataset*/) {
  return false;
}

const Protocol& find_protocol(std::string_view name) {
  throw InvalidArgument("protocol " + std::string(name));
}

}  // namespace kvg::harness

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  for (const auto format : {kvg::harness::SweepFormat::kJson, kvg::harness::SweepFormat::kYaml}) {
    kvg::fuzz::expect_taken_or_refused(
        [&text, format] { static_cast<void>(kvg::harness::parse_sweep(text, format, "sweep")); });
  }
  return 0;
}
