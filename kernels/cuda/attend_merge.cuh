#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/launch.cuh"

namespace kvg::kernels {

/// What the chunks of decode attention left of every query, to its result. Its blocks are small:
/// those of the kernel behind it start beside them.
struct MergeArgs {
  void* out = nullptr;  ///< [queries, head_dim] of `compute`
  DType compute = DType::kF32;
  const float* partials = nullptr;  ///< [queries, chunks], partial_floats(head_dim) each
  int queries = 0;                  ///< of all batch rows
  int chunks = 0;
  int head_dim = 0;
  Transform transform = Transform::kNone;  ///< of the values
};

/// Shared memory of a block, whatever head_dim is.
inline constexpr int kMergeBytes = 4096;

/// In order, so that the result does not depend on who came when.
void merge_chunks(const Target& target, const MergeArgs& args);

}  // namespace kvg::kernels
