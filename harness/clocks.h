#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/device.h"

namespace kvg::harness {

/// Clocks of a CUDA device in MHz, and what holds them down, as NVML tells them.
struct Clocks {
  std::int64_t sm_mhz = 0;
  std::int64_t memory_mhz = 0;
  std::int64_t sm_max_mhz = 0;
  std::uint64_t reasons = 0;  ///< NVML's bits
};

/// What slows a card down against its user's will, by name: power caps, heat, hardware brakes.
/// Idling and clocks that were asked for are none of it. "sw_power_cap,hw_thermal"; empty: nothing.
[[nodiscard]] std::string throttle_names(std::uint64_t reasons);

/// Reads the clocks of one device and sets nothing. The library is opened once.
class ClockReader {
 public:
  explicit ClockReader(const kernels::DeviceInfo& device);
  ~ClockReader();
  ClockReader(const ClockReader&) = delete;
  ClockReader& operator=(const ClockReader&) = delete;

  /// Empty on the cpu, and where NVML cannot be opened or knows another card by that index.
  [[nodiscard]] std::optional<Clocks> read() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace kvg::harness
