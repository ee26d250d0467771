#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace kvg::kernels {

/// What the driver's management library tells about one card. The library is opened at run time,
/// so every answer may be missing.
class Nvml {
 public:
  /// `pci_bus_id` as the CUDA runtime spells it.
  explicit Nvml(const std::string& pci_bus_id);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  [[nodiscard]] std::optional<std::size_t> free_bytes() const;
  /// Device memory that this process holds.
  [[nodiscard]] std::optional<std::size_t> process_bytes() const;
  /// As users know it: "580.65.06".
  [[nodiscard]] std::optional<std::string> driver_version() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace kvg::kernels
