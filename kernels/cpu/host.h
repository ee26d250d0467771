#pragma once

#include <cstddef>
#include <string>

#include "kernels/core/memory.h"

namespace kvg::kernels::cpu {

/// Host memory, counted.
class HostPool final : public Pool {
 private:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* data, std::size_t bytes) noexcept override;
  AllocatorPeaks do_peaks(std::size_t requested_peak) const override;
  void do_reset_peaks() override;
};

/// "model name" of the processor, or "cpu" where the system does not tell.
[[nodiscard]] std::string processor_name();

/// A figure of /proc/meminfo ("MemTotal", "MemAvailable") in bytes; 0 when it is not there.
[[nodiscard]] std::size_t memory_figure(const std::string& key);

/// Resident bytes of this process; 0 when it cannot be told.
[[nodiscard]] std::size_t resident_bytes();

}  // namespace kvg::kernels::cpu
