#include "kernels/cuda/tensor_map.cuh"

#include <string>

#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include "kernels/core/error.h"
#include "kernels/cuda/check.cuh"

namespace kvg::kernels {
namespace {

// The driver's function, found at run time so that programs start where there is no driver.
PFN_cuTensorMapEncodeTiled_v12000 find_encoder() {
  void* function = nullptr;
  auto found = cudaDriverEntryPointSymbolNotFound;
  KVG_CUDA_CHECK(cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) {
    throw CudaError("the CUDA driver has no cuTensorMapEncodeTiled");
  }
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

}  // namespace

CUtensorMap map_tensor(const TensorShape& shape) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = find_encoder();
  constexpr std::uint32_t kSteps[4] = {1, 1, 1, 1};
  CUtensorMap map{};
  // Elements are copied as they are: bf16 and f16 are alike.
  const CUresult status = encode(&map,
                                 CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                 4,
                                 const_cast<void*>(shape.data),
                                 shape.sizes,
                                 shape.strides,
                                 shape.box,
                                 kSteps,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw CudaError("cuTensorMapEncodeTiled refuses a tensor: error " + std::to_string(status));
  }
  return map;
}

}  // namespace kvg::kernels
