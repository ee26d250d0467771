#pragma once

#include <cstddef>

#include <cuda_runtime.h>

#include "kernels/cuda/check.cuh"

namespace kvg::kernels {

/// Where kernels go, and what the device behind it offers.
struct Target {
  cudaStream_t stream = nullptr;
  int multiprocessors = 1;
  int shared_bytes = 48 * 1024;  ///< most dynamic shared memory of a block
  bool overlaps = false;         ///< a kernel may start before the one in front of it ends
  bool wgmma = false;            ///< it runs Hopper's own matrix instructions
};

struct Grid {
  dim3 blocks;
  unsigned threads = 1;
  std::size_t shared_bytes = 0;
};

/// Enqueues `kernel`. Where the device can, the launch overlaps the end of the kernel in front:
/// every kernel therefore calls wait_for_inputs() before it touches what an earlier one wrote or
/// reads.
template <typename... Parameters, typename... Arguments>
void launch(const Target& target,
            void (*kernel)(Parameters...),
            const Grid& grid,
            const Arguments&... arguments) {
  // A multiprocessor empties before it divides its memory anew between cache and shared memory, so
  // all kernels ask for the same division.
  KVG_CUDA_CHECK(cudaFuncSetAttribute(
      kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared));
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (grid.shared_bytes > kWithoutAsking) {
    KVG_CUDA_CHECK(cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)));
  }
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = dim3(grid.threads);
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = target.stream;
  config.attrs = &overlap;
  config.numAttrs = target.overlaps ? 1 : 0;
  KVG_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

/// Lets the next kernel's blocks move in as this one's leave, then waits until all that came
/// before is done and visible. Only constants (weights) may be read before it.
__device__ inline void allow_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ inline void wait_for_inputs() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

constexpr unsigned ceil_div(std::size_t value, std::size_t by) {
  return static_cast<unsigned>((value + by - 1) / by);
}

}  // namespace kvg::kernels
