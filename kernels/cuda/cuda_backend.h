#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device.h"

namespace kvg::kernels {

/// Every CUDA device that answers. When there is none, `why_none` says why: this build has no CUDA,
/// or no driver, or no device.
[[nodiscard]] std::vector<DeviceInfo> cuda_devices(std::string* why_none);

/// A backend on one of cuda_devices(). Throws CudaError when the device refuses.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const DeviceInfo& device,
                                                         const BackendOptions& options);

}  // namespace kvg::kernels
