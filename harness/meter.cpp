#include "harness/meter.h"

#include <algorithm>
#include <string>

#include "kernels/core/error.h"

namespace kvg::harness {

void check_peaks(const MemoryStats& stats, const kernels::DeviceInfo& device) {
  if (device.kind == kernels::DeviceKind::kCuda && stats.used_peak == 0) {
    throw Error(
        "memory meter: " + device.id +
        " reports a peak of 0 bytes, which cannot be true of a run; this row has no figure");
  }
  if (stats.used_peak < stats.requested_peak) {
    throw Error("memory meter: the allocator of " + device.id + " reports a peak of " +
                std::to_string(stats.used_peak) + " bytes, below the " +
                std::to_string(stats.requested_peak) + " bytes that were asked of it");
  }
}

MemoryMeter::MemoryMeter(kernels::Backend& backend) : backend_(backend) {
  backend_.synchronize();
  backend_.pool().reset_peak();
}

std::int64_t MemoryMeter::lap() {
  const MemoryStats now = backend_.pool().stats();
  check_peaks(now, backend_.device());
  backend_.pool().reset_peak();
  for (std::size_t i = 0; i < kMemoryClassCount; ++i) {
    highest_.peak[i] = std::max(highest_.peak[i], now.peak[i]);
  }
  highest_.used_peak = std::max(highest_.used_peak, now.used_peak);
  highest_.reserved_peak = std::max(highest_.reserved_peak, now.reserved_peak);
  return static_cast<std::int64_t>(now.used_peak);
}

MemoryFigures MemoryMeter::figures() const {
  const auto peak = [this](MemoryClass memory_class) {
    return static_cast<std::int64_t>(highest_.peak[static_cast<std::size_t>(memory_class)]);
  };
  MemoryFigures figures{
      .weights_bytes = peak(MemoryClass::kWeights),
      .kv_bytes = peak(MemoryClass::kKv),
      .activations_bytes = peak(MemoryClass::kActivations),
      .workspace_bytes = peak(MemoryClass::kWorkspace),
      .observations_bytes = peak(MemoryClass::kObservations),
      .pool_used_peak_bytes = static_cast<std::int64_t>(highest_.used_peak),
      .pool_reserved_peak_bytes = static_cast<std::int64_t>(highest_.reserved_peak),
      .process_bytes = {},
      .unaccounted_bytes = {}};
  if (const std::size_t process = backend_.process_bytes(); process > 0) {
    figures.process_bytes = static_cast<std::int64_t>(process);
    figures.unaccounted_bytes = *figures.process_bytes - figures.pool_reserved_peak_bytes;
  }
  return figures;
}

}  // namespace kvg::harness
