#pragma once

#include "kernels/backend.h"

namespace kvg::kernels {

__device__ inline float silu(float x) {
  return x / (1.0F + expf(-x));
}

__device__ inline float gelu(float x) {
  constexpr float kInverseRootTwo = 0.70710678118654752F;
  return 0.5F * x * (1.0F + erff(x * kInverseRootTwo));
}

__device__ inline float gelu_tanh(float x) {
  constexpr float kRootTwoOverPi = 0.79788456080286536F;
  return 0.5F * x * (1.0F + tanhf(kRootTwoOverPi * (x + 0.044715F * x * x * x)));
}

/// The activation of a feature, or of its gate.
__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kGelu:
    case Activation::kGatedGelu:
      return gelu(x);
    case Activation::kGeluTanh:
    case Activation::kGatedGeluTanh:
      return gelu_tanh(x);
    case Activation::kSilu:
    case Activation::kGatedSilu:
      return silu(x);
    case Activation::kNone:
      break;
  }
  return x;
}

}  // namespace kvg::kernels
