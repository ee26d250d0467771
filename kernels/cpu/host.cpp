#include "kernels/cpu/host.h"

#include <cstdlib>
#include <fstream>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace kvg::kernels::cpu {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kKibibyte = 1024;

// What stands after the ':' of the first line that starts with `key`.
std::string value_of(const char* file, const std::string& key) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    const std::size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      const std::size_t start = line.find_first_not_of(" \t", colon + 1);
      return start == std::string::npos ? std::string() : line.substr(start);
    }
  }
  return {};
}

std::size_t kibibytes_of(const char* file, const std::string& key) {
  return std::strtoull(value_of(file, key).c_str(), nullptr, 10) * kKibibyte;
}

}  // namespace

void* HostPool::do_allocate(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
}

void HostPool::do_release(void* data, std::size_t) noexcept {
  std::free(data);
}

Pool::AllocatorPeaks HostPool::do_peaks(std::size_t requested_peak) const {
  return {.used = requested_peak, .reserved = requested_peak};
}

void HostPool::do_reset_peaks() {
  // What was freed would otherwise stay with the process, and count for the row after.
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::string processor_name() {
  const std::string name = value_of("/proc/cpuinfo", "model name");
  return name.empty() ? "cpu" : name;
}

std::size_t memory_figure(const std::string& key) {
  return kibibytes_of("/proc/meminfo", key);
}

std::size_t resident_bytes() {
  return kibibytes_of("/proc/self/status", "VmRSS");
}

}  // namespace kvg::kernels::cpu
