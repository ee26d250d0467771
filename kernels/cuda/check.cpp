#include "kernels/cuda/check.cuh"

#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace kvg::kernels {
namespace {

std::string_view file_name(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

}  // namespace

void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) {
    return;
  }
  cudaGetLastError();
  throw CudaError(std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) +
                  ") from " + call + " at " + std::string(file_name(file)) + ":" +
                  std::to_string(line));
}

void ignore_cuda(cudaError_t status) noexcept {
  if (status != cudaSuccess) {
    cudaGetLastError();
  }
}

}  // namespace kvg::kernels
