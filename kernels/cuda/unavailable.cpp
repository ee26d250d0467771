#include "kernels/core/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace kvg::kernels {
namespace {

constexpr const char* kWhyNone = "this build has no CUDA (configure with -DKVG_CUDA=ON)";

}  // namespace

std::vector<DeviceInfo> cuda_devices(std::string* why_none) {
  *why_none = kWhyNone;
  return {};
}

std::unique_ptr<Backend> make_cuda_backend(const DeviceInfo& device, const BackendOptions&) {
  throw InvalidArgument("device " + device.id + ": " + kWhyNone);
}

}  // namespace kvg::kernels
