#include <array>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/nvml.h"
#include "kernels/cuda/prefill_attention_wgmma.cuh"

namespace kvg::kernels {
namespace {

constexpr int kOldestMajor = 8;

std::string dotted(int version, int major_unit, int minor_unit) {
  return std::to_string(version / major_unit) + "." +
         std::to_string(version % major_unit / minor_unit);
}

std::string runtime_version() {
  int version = 0;
  KVG_CUDA_CHECK(cudaRuntimeGetVersion(&version));
  return dotted(version, 1000, 10);
}

std::string gemm_path() {
  const auto version = static_cast<int>(cublasLtGetVersion());
  return "cuBLASLt " + dotted(version, 10000, 100) + "." + std::to_string(version % 100);
}

// The management library answers without a context, which alone takes half a gigabyte.
std::size_t free_memory(int index, const Nvml& nvml) {
  if (const auto bytes = nvml.free_bytes()) {
    return *bytes;
  }
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  KVG_CUDA_CHECK(cudaSetDevice(index));
  KVG_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  return free_bytes;
}

std::string prefill_path(const cudaDeviceProp& properties) {
  const std::string rest = "flash, mma.sync 16x8x16 (f16, bf16); tiled (f32)";
  return wgmma::is_built_for(properties.major, properties.minor)
             ? "flash, wgmma (f16, bf16 up to head_dim " + std::to_string(wgmma::kWidestHead) +
                   "); " + rest
             : rest;
}

std::string driver_version(const Nvml& nvml) {
  if (auto text = nvml.driver_version()) {
    return *text;
  }
  int version = 0;
  KVG_CUDA_CHECK(cudaDriverGetVersion(&version));
  return "for CUDA " + dotted(version, 1000, 10);
}

DeviceInfo describe(int index, const cudaDeviceProp& properties) {
  std::array<char, 32> bus_id{};
  KVG_CUDA_CHECK(cudaDeviceGetPCIBusId(bus_id.data(), static_cast<int>(bus_id.size()), index));
  const Nvml nvml(bus_id.data());
  return {.kind = DeviceKind::kCuda,
          .index = index,
          .id = "cuda:" + std::to_string(index),
          .name = properties.name,
          .total_bytes = properties.totalGlobalMem,
          .free_bytes = free_memory(index, nvml),
          .compute_capability =
              std::to_string(properties.major) + "." + std::to_string(properties.minor),
          .driver = driver_version(nvml),
          .runtime = runtime_version(),
          .gemm = gemm_path(),
          .prefill_attention = prefill_path(properties),
          .decode_attention = "split-KV, grouped queries"};
}

}  // namespace

std::vector<DeviceInfo> cuda_devices(std::string* why_none) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    ignore_cuda(status);
    *why_none = std::string("no CUDA device answers: ") +
                (status == cudaSuccess ? "none was found" : cudaGetErrorString(status));
    return {};
  }
  std::vector<DeviceInfo> devices;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    KVG_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    if (properties.major >= kOldestMajor) {
      devices.push_back(describe(index, properties));
    } else {
      *why_none = std::string(properties.name) + " has compute capability " +
                  std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                  "; 8.0 or newer is needed";
    }
  }
  return devices;
}

}  // namespace kvg::kernels
