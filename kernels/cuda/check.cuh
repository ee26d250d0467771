#pragma once

#include <cuda_runtime_api.h>

namespace kvg::kernels {

/// Throws CudaError naming the call, the file and line, and what the runtime says; the sticky error
/// is cleared. Does nothing on success.
void check_cuda(cudaError_t status, const char* call, const char* file, int line);

/// For destructors: clears the sticky error and goes on, since nothing can be done about it there.
void ignore_cuda(cudaError_t status) noexcept;

}  // namespace kvg::kernels

#define KVG_CUDA_CHECK(call) ::kvg::kernels::check_cuda((call), #call, __FILE__, __LINE__)
