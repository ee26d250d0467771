#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/reduce.cuh"

namespace kvg::kernels {

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
