#pragma once

#include "kernels/ceilings.h"
#include "kernels/core/dtype.h"
#include "kernels/core/memory.h"
#include "kernels/cuda/launch.cuh"

namespace kvg::kernels {

/// On what ceilings are measured.
struct CeilingDevice {
  int device = 0;
  Target target;
  DType compute = DType::kBF16;  ///< of the product
};

struct CeilingPools {
  Pool& device;
  Pool& pinned;
};

/// Memory far beyond the cache is read and copied with 16-byte accesses, several in flight; the
/// product is cuBLASLt's, 8192 on every side (f32: 4096); kernels are empty ones of a graph,
/// launched as all others are. sizes.working_set is not read.
[[nodiscard]] Ceilings measure_cuda_ceilings(const CeilingDevice& device,
                                             const CeilingPools& pools,
                                             const CeilingSizes& sizes);

}  // namespace kvg::kernels
