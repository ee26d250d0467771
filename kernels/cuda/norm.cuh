#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/reduce.cuh"

namespace kvg::kernels {

/// The statistics of a thread's share of a row: every walk.y-th element from walk.x on.
/// kRms leaves `mean` at 0, so that `squares` are those of the values themselves.
__device__ inline Moments row_moments(const float* row, int dim, NormKind kind, int2 walk) {
  Moments own;
  float sum = 0.0F;
#pragma unroll 8
  for (int i = walk.x; i < dim; i += walk.y) {
    sum += row[i];
    own.count += 1.0F;
  }
  if (kind == NormKind::kLayer && own.count > 0.0F) {
    own.mean = sum / own.count;
  }
#pragma unroll 8
  for (int i = walk.x; i < dim; i += walk.y) {
    const float deviation = row[i] - own.mean;
    own.squares += deviation * deviation;
  }
  return own;
}

/// Turns an element of a row into its normalised value.
struct RowNorm {
  float mean = 0.0F;
  float scale = 1.0F;

  __device__ float operator()(float value, const Norm& norm, int i) const {
    return apply(value, norm.weight[i], norm.bias != nullptr ? norm.bias[i] : 0.0F);
  }
  __device__ float apply(float value, float weight, float bias) const {
    return (value - mean) * scale * weight + bias;
  }
};

__device__ inline RowNorm row_norm(const Moments& moments, const Norm& norm) {
  return {moments.mean, rsqrtf(moments.squares / moments.count + norm.eps)};
}

}  // namespace kvg::kernels
