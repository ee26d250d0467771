#include "kernels/device.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace kvg::kernels {
namespace {

std::string ids_of(const std::vector<DeviceInfo>& devices) {
  std::string text;
  for (const DeviceInfo& device : devices) {
    text += (text.empty() ? "" : ", ") + device.id;
  }
  return text;
}

std::vector<DeviceInfo> list_devices(std::string* why_no_cuda) {
  std::vector<DeviceInfo> devices = {cpu_device()};
  for (DeviceInfo& device : cuda_devices(why_no_cuda)) {
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace

std::vector<DeviceInfo> available_devices() {
  std::string why_no_cuda;
  return list_devices(&why_no_cuda);
}

DeviceInfo find_device(std::string_view request) {
  std::string why_no_cuda;
  const std::vector<DeviceInfo> devices = list_devices(&why_no_cuda);
  const bool has_cuda = devices.size() > 1;
  if (request == "auto") {
    return devices[has_cuda ? 1 : 0];
  }
  if (request == "cuda" && has_cuda) {
    return devices[1];
  }
  for (const DeviceInfo& device : devices) {
    if (device.id == request) {
      return device;
    }
  }
  const std::string quoted = "device \"" + std::string(request) + "\"";
  const bool wants_cuda = request == "cuda" || request.starts_with("cuda:");
  if (wants_cuda && !has_cuda) {
    throw InvalidArgument(quoted + ": " + why_no_cuda + "; available: " + ids_of(devices));
  }
  throw InvalidArgument(quoted + " does not exist; available: auto, " + ids_of(devices));
}

std::unique_ptr<Backend> make_backend(const DeviceInfo& device, const BackendOptions& options) {
  if (device.kind == DeviceKind::kCuda) {
    return make_cuda_backend(device, options);
  }
  return make_cpu_backend(options);
}

}  // namespace kvg::kernels
