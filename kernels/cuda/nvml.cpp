#include "kernels/cuda/nvml.h"

#include <array>
#include <dlfcn.h>
#include <unistd.h>
#include <vector>

namespace kvg::kernels {
namespace {

// The few parts of the library's binary interface that are used; its header is no part of the
// runtime that a user has.
using Device = void*;
constexpr int kSuccess = 0;
constexpr int kInsufficientSize = 7;

struct MemoryInfo {
  unsigned long long total = 0;
  unsigned long long free = 0;
  unsigned long long used = 0;
};

struct ProcessInfo {
  unsigned int pid = 0;
  unsigned long long used_bytes = 0;
  unsigned int gpu_instance = 0;
  unsigned int compute_instance = 0;
};

constexpr unsigned long long kNotAvailable = ~0ULL;

}  // namespace

struct Nvml::Library {
  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (shutdown != nullptr) {
      shutdown();
    }
    if (handle != nullptr) {
      dlclose(handle);
    }
  }

  template <typename Function>
  bool find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(dlsym(handle, name));
    return function != nullptr;
  }

  bool open(const std::string& pci_bus_id) {
    handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*init)() = nullptr;
    int (*find_device)(const char*, Device*) = nullptr;
    if (handle == nullptr || !find(init, "nvmlInit_v2") || init() != kSuccess) {
      return false;
    }
    return find(shutdown, "nvmlShutdown") && find(memory, "nvmlDeviceGetMemoryInfo") &&
           find(processes, "nvmlDeviceGetComputeRunningProcesses_v3") &&
           find(driver, "nvmlSystemGetDriverVersion") &&
           find(find_device, "nvmlDeviceGetHandleByPciBusId_v2") &&
           find_device(pci_bus_id.c_str(), &device) == kSuccess;
  }

  void* handle = nullptr;
  Device device = nullptr;
  int (*shutdown)() = nullptr;
  int (*memory)(Device, MemoryInfo*) = nullptr;
  int (*processes)(Device, unsigned int*, ProcessInfo*) = nullptr;
  int (*driver)(char*, unsigned int) = nullptr;
};

Nvml::Nvml(const std::string& pci_bus_id) : library_(std::make_unique<Library>()) {
  if (!library_->open(pci_bus_id)) {
    library_.reset();
  }
}

Nvml::~Nvml() = default;

std::optional<std::size_t> Nvml::free_bytes() const {
  MemoryInfo info;
  if (!library_ || library_->memory(library_->device, &info) != kSuccess) {
    return std::nullopt;
  }
  return info.free;
}

std::optional<std::size_t> Nvml::process_bytes() const {
  if (!library_) {
    return std::nullopt;
  }
  // Others may start between two calls, so room for more than were counted.
  std::vector<ProcessInfo> found(64);
  auto count = static_cast<unsigned int>(found.size());
  int status = library_->processes(library_->device, &count, found.data());
  if (status == kInsufficientSize) {
    found.resize(2 * static_cast<std::size_t>(count));
    count = static_cast<unsigned int>(found.size());
    status = library_->processes(library_->device, &count, found.data());
  }
  if (status != kSuccess) {
    return std::nullopt;
  }
  found.resize(count);
  for (const ProcessInfo& process : found) {
    if (process.pid == static_cast<unsigned int>(getpid()) && process.used_bytes != kNotAvailable) {
      return process.used_bytes;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Nvml::driver_version() const {
  std::array<char, 80> text{};
  if (!library_ ||
      library_->driver(text.data(), static_cast<unsigned int>(text.size())) != kSuccess) {
    return std::nullopt;
  }
  return std::string(text.data());
}

}  // namespace kvg::kernels
