#pragma once

#include <cuda_runtime_api.h>

namespace kvg::kernels {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

/// Every lane gets the sum over its warp, added in the same order on every lane. T: float or
/// double.
template <typename T>
__device__ inline T warp_sum(T value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, step);
  }
  return value;
}

template <typename T>
__device__ inline T warp_max(T value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = fmax(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  return value;
}

/// Count, mean and sum of squared deviations of some values. Two of them merge without the
/// cancellation that a difference of sums suffers from.
struct Moments {
  float count = 0.0F;
  float mean = 0.0F;
  float squares = 0.0F;
};

__device__ inline Moments merge(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.0F) {
    return {};
  }
  const float difference = b.mean - a.mean;
  const float share = __fdividef(b.count, count);
  return {count,
          a.mean + difference * share,
          a.squares + b.squares + difference * difference * a.count * share};
}

__device__ inline Moments warp_merge(Moments value) {
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const Moments other = {__shfl_down_sync(kAllLanes, value.count, step),
                           __shfl_down_sync(kAllLanes, value.mean, step),
                           __shfl_down_sync(kAllLanes, value.squares, step)};
    value = merge(value, other);
  }
  return {__shfl_sync(kAllLanes, value.count, 0),
          __shfl_sync(kAllLanes, value.mean, 0),
          __shfl_sync(kAllLanes, value.squares, 0)};
}

}  // namespace kvg::kernels
