#pragma once

#include <cstddef>

#include "kernels/backend.h"
#include "kernels/cuda/launch.cuh"

namespace kvg::kernels {

/// A stretch of the scratch memory.
struct WorkspacePart {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

/// The scratch memory of all operations: one allocation, parts at multiples of 256 bytes.
struct Workspace {
  WorkspacePart normed;    ///< [rows, hidden] of the compute dtype, for products of many rows
  WorkspacePart product;   ///< [rows, features] of the compute dtype
  WorkspacePart partials;  ///< of decode attention
  WorkspacePart arrivals;  ///< of decode attention, zero between launches
  WorkspacePart gemm;      ///< of cuBLASLt, for products of many rows
  WorkspacePart scoring;   ///< of selections
  std::size_t total = 0;
};

[[nodiscard]] Workspace lay_out_workspace(const Target& target,
                                          DType compute,
                                          const WorkspaceShape& shape);

}  // namespace kvg::kernels
