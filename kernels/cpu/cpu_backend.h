#pragma once

#include <memory>

#include "kernels/device.h"

namespace kvg::kernels {

/// The machine's processor and memory.
[[nodiscard]] DeviceInfo cpu_device();

/// Throws InvalidArgument when options.compute is not f32 or options.threads is negative.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);

}  // namespace kvg::kernels
