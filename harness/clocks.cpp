// NVML is opened at run time: the program neither needs it nor links it.

#include <array>
#include <dlfcn.h>
#include <memory>
#include <string>

#include "harness/environment.h"

namespace kvg::harness {
namespace {

// The few entry points used, with the types that NVML's documentation gives them.
using NvmlDevice = void*;
using Init = int();
using DeviceByIndex = int(unsigned index, NvmlDevice* device);
using DeviceName = int(NvmlDevice device, char* name, unsigned length);
using ClockInfo = int(NvmlDevice device, int type, unsigned* mhz);

constexpr int kSuccess = 0;
constexpr int kClockSm = 1;
constexpr int kClockMemory = 2;

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

template <typename Function>
Function* symbol(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library.get(), name));
}

std::optional<std::int64_t> clock(ClockInfo* read, NvmlDevice device, int type) {
  unsigned mhz = 0;
  if (read == nullptr || read(device, type, &mhz) != kSuccess) {
    return std::nullopt;
  }
  return mhz;
}

// The device, unless NVML knows another card by the index (CUDA_VISIBLE_DEVICES renumbers cards).
NvmlDevice find(const Library& library, const kernels::DeviceInfo& info) {
  auto* const by_index = symbol<DeviceByIndex>(library, "nvmlDeviceGetHandleByIndex_v2");
  auto* const name_of_device = symbol<DeviceName>(library, "nvmlDeviceGetName");
  NvmlDevice device = nullptr;
  std::array<char, 128> name{};
  if (by_index == nullptr || name_of_device == nullptr ||
      by_index(static_cast<unsigned>(info.index), &device) != kSuccess ||
      name_of_device(device, name.data(), static_cast<unsigned>(name.size())) != kSuccess ||
      info.name != name.data()) {
    return nullptr;
  }
  return device;
}

std::optional<Clocks> read(const Library& library, const kernels::DeviceInfo& info) {
  auto* const device = find(library, info);
  if (device == nullptr) {
    return std::nullopt;
  }
  auto* const now = symbol<ClockInfo>(library, "nvmlDeviceGetClockInfo");
  const auto sm = clock(now, device, kClockSm);
  const auto memory = clock(now, device, kClockMemory);
  const auto sm_max =
      clock(symbol<ClockInfo>(library, "nvmlDeviceGetMaxClockInfo"), device, kClockSm);
  if (!sm || !memory || !sm_max) {
    return std::nullopt;
  }
  return Clocks{.sm_mhz = *sm, .memory_mhz = *memory, .sm_max_mhz = *sm_max};
}

}  // namespace

std::optional<Clocks> read_clocks(const kernels::DeviceInfo& device) {
  if (device.kind != kernels::DeviceKind::kCuda) {
    return std::nullopt;
  }
  const Library library(dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL));
  if (library == nullptr) {
    return std::nullopt;
  }
  auto* const init = symbol<Init>(library, "nvmlInit_v2");
  if (init == nullptr || init() != kSuccess) {
    return std::nullopt;
  }
  const auto clocks = read(library, device);
  if (auto* const shutdown = symbol<Init>(library, "nvmlShutdown"); shutdown != nullptr) {
    shutdown();
  }
  return clocks;
}

}  // namespace kvg::harness
