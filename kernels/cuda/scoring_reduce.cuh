#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"

// Sums and extremes in double. Every lane, every thread gets the same figure, added up in an order
// that depends on the sizes alone.
namespace kvg::kernels {

/// Threads of a block that has a whole head to itself.
inline constexpr int kScoringBlock = 1024;

/// Divisors of norms are at least this, as in torch's normalize().
inline constexpr double kLeastNorm = 1e-12;

namespace detail {

/// Over a block of kScoringBlock threads.
template <typename Merge>
__device__ double over_block(double value, const Merge& merge) {
  __shared__ double parts[kScoringBlock / kWarp];
  value = merge(value);
  __syncthreads();  // an earlier call may still be reading
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  return merge(parts[threadIdx.x % kWarp]);
}

}  // namespace detail

__device__ inline double block_sum(double value) {
  return detail::over_block(value, [](double x) { return warp_sum(x); });
}
__device__ inline double block_max(double value) {
  return detail::over_block(value, [](double x) { return warp_max(x); });
}

/// The squares of a lane's share of a vector.
template <typename T>
__device__ double square_of_part(const T* vector, int dim) {
  double sum = 0.0;
  for (int c = static_cast<int>(threadIdx.x) % kWarp; c < dim; c += kWarp) {
    const double x = to_float(vector[c]);
    sum += x * x;
  }
  return sum;
}

}  // namespace kvg::kernels
