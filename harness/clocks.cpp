#include "harness/clocks.h"

#include <array>
#include <dlfcn.h>
#include <string_view>

// NVML is opened at run time: the program neither needs it nor links it.

namespace kvg::harness {
namespace {

// The few entry points used, with the types that NVML's documentation gives them.
using NvmlDevice = void*;
using Init = int();
using DeviceByIndex = int(unsigned index, NvmlDevice* device);
using DeviceName = int(NvmlDevice device, char* name, unsigned length);
using ClockInfo = int(NvmlDevice device, int type, unsigned* mhz);
using ThrottleReasons = int(NvmlDevice device, unsigned long long* reasons);

constexpr int kSuccess = 0;
constexpr int kClockSm = 1;
constexpr int kClockMemory = 2;

struct Reason {
  std::uint64_t bit = 0;
  std::string_view name;
};
constexpr std::array kReasons{Reason{0x04, "sw_power_cap"},
                              Reason{0x08, "hw_slowdown"},
                              Reason{0x20, "sw_thermal"},
                              Reason{0x40, "hw_thermal"},
                              Reason{0x80, "hw_power_brake"}};

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Handle = std::unique_ptr<void, CloseLibrary>;

template <typename Function>
Function* symbol(const Handle& library, const char* name) {
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
NvmlDevice find(const Handle& library, const kernels::DeviceInfo& info) {
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

}  // namespace

std::string throttle_names(std::uint64_t reasons) {
  std::string names;
  for (const Reason& reason : kReasons) {
    if ((reasons & reason.bit) != 0) {
      names += (names.empty() ? "" : ",") + std::string(reason.name);
    }
  }
  return names;
}

// An open library with one device of it.
struct ClockReader::Library {
  explicit Library(Handle opened) : handle(std::move(opened)) {}
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (auto* const shutdown = symbol<Init>(handle, "nvmlShutdown"); shutdown != nullptr) {
      shutdown();
    }
  }

  Handle handle;
  NvmlDevice device = nullptr;
};

ClockReader::ClockReader(const kernels::DeviceInfo& device) {
  if (device.kind != kernels::DeviceKind::kCuda) {
    return;
  }
  Handle handle(dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL));
  if (handle == nullptr) {
    return;
  }
  auto* const init = symbol<Init>(handle, "nvmlInit_v2");
  if (init == nullptr || init() != kSuccess) {
    return;
  }
  library_ = std::make_unique<Library>(std::move(handle));
  library_->device = find(library_->handle, device);
}

ClockReader::~ClockReader() = default;

std::optional<Clocks> ClockReader::read() const {
  if (library_ == nullptr || library_->device == nullptr) {
    return std::nullopt;
  }
  auto* const device = library_->device;
  auto* const now = symbol<ClockInfo>(library_->handle, "nvmlDeviceGetClockInfo");
  const auto sm = clock(now, device, kClockSm);
  const auto memory = clock(now, device, kClockMemory);
  const auto sm_max =
      clock(symbol<ClockInfo>(library_->handle, "nvmlDeviceGetMaxClockInfo"), device, kClockSm);
  auto* const why =
      symbol<ThrottleReasons>(library_->handle, "nvmlDeviceGetCurrentClocksThrottleReasons");
  unsigned long long reasons = 0;
  if (!sm || !memory || !sm_max || why == nullptr || why(device, &reasons) != kSuccess) {
    return std::nullopt;
  }
  return Clocks{.sm_mhz = *sm, .memory_mhz = *memory, .sm_max_mhz = *sm_max, .reasons = reasons};
}

}  // namespace kvg::harness
