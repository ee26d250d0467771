#include "harness/environment.h"

#include <array>
#include <chrono>
#include <ctime>
#include <thread>

#include "build_info.generated.h"

namespace kvg::harness {
namespace {

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace

const BuildInfo& build_info() {
  static const BuildInfo kInfo{.version = generated::kVersion,
                               .commit = generated::kCommit,
                               .dirty = generated::kDirty,
                               .compiler = generated::kCompiler,
                               .type = generated::kBuildType,
                               .sanitizer = generated::kSanitizer,
                               .cuda = generated::kCuda};
  return kInfo;
}

std::string version_line() {
  const BuildInfo& build = build_info();
  std::string line = "kvgauge " + std::string(build.version) + " (commit " +
                     std::string(build.commit.substr(0, 12));
  line += build.dirty.value_or(false) ? ", dirty" : "";
  return line + ")";
}

Environment read_environment(const kernels::DeviceInfo& device) {
  return {.build = build_info(),
          .cpu = kernels::find_device("cpu"),
          .device = device,
          .cpu_threads = static_cast<int>(std::thread::hardware_concurrency()),
          .clocks = ClockReader(device).read(),
          .time_utc = utc_now(),
          .command = {},
          .weights = {},
          .texts = {}};
}

}  // namespace kvg::harness
