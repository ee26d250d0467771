#pragma once

#include <chrono>
#include <cstdint>

#include "harness/record.h"
#include "kernels/backend.h"

namespace kvg::harness {

/// Seconds that `call` takes on the host. What is timed returns once its result is readable there.
template <typename Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Checks the figures that a pool gave. Throws Error when they cannot be true: a peak of 0 on
/// CUDA, or an allocator that saw less than was asked of it.
void check_peaks(const MemoryStats& stats, const kernels::DeviceInfo& device);

/// Reads the high-water marks of a device's pool between its construction and the last lap.
/// Everything held at construction is part of them. Nothing here is computed: every figure comes
/// from the pool or the driver.
class MemoryMeter {
 public:
  /// Waits for the device and resets the peaks.
  explicit MemoryMeter(kernels::Backend& backend);

  /// Ends a lap and starts the next: the allocator's high-water mark since the last one, in bytes.
  std::int64_t lap();

  /// The maximum over all laps; there was at least one.
  [[nodiscard]] MemoryFigures figures() const;

 private:
  kernels::Backend& backend_;
  MemoryStats highest_;
};

}  // namespace kvg::harness
