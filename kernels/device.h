#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/dtype.h"

namespace kvg::kernels {

class Backend;

enum class DeviceKind : std::uint8_t { kCpu, kCuda };

/// One device this build can run on, as found on this machine.
struct DeviceInfo {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  std::string id;                  ///< "cpu", "cuda:0"
  std::string name;                ///< the vendor's name of the processor or card
  std::size_t total_bytes = 0;     ///< memory of the device
  std::size_t free_bytes = 0;      ///< of it free now
  std::string compute_capability;  ///< "9.0"; empty on cpu
  std::string driver;              ///< driver version; empty on cpu
  std::string runtime;             ///< CUDA runtime version; empty on cpu
  std::string gemm;                ///< which path matrix products take
  std::string prefill_attention;   ///< which path prompts take
  std::string decode_attention;    ///< which path steps take
};

/// The cpu first, then every CUDA device when the build has CUDA and a driver answers.
[[nodiscard]] std::vector<DeviceInfo> available_devices();

/// Resolves "auto" (the first CUDA device, else the cpu), "cpu", "cuda" or "cuda:N". Throws
/// InvalidArgument naming what is available, and why there is no CUDA device if that was asked for.
[[nodiscard]] DeviceInfo find_device(std::string_view request);

struct BackendOptions {
  DType compute = DType::kF32;   ///< activations and native caches; the cpu takes kF32 alone
  int threads = 0;               ///< cpu threads; 0: all of the machine's
  std::size_t memory_limit = 0;  ///< bytes the pool may hold; 0: no limit
};

/// Throws InvalidArgument for an option that the device does not take, naming what it takes.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceInfo& device,
                                                    const BackendOptions& options);

}  // namespace kvg::kernels
