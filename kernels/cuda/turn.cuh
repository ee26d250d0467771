#pragma once

#include "kernels/form.h"
#include "kernels/hash.h"

// kernels/transform.h for threads that work together: vectors in shared memory, `count` of `dim`
// floats one after the other. All of the team call these and see the result.

namespace kvg::kernels {

template <int Threads>
struct BlockTeam {
  static constexpr int kThreads = Threads;
  __device__ static int rank() { return static_cast<int>(threadIdx.x); }
  __device__ static void sync() { __syncthreads(); }
};

struct WarpTeam {
  static constexpr int kThreads = 32;
  __device__ static int rank() { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ static void sync() { __syncwarp(); }
};

/// Adds and subtracts pairs 2^first .. channels apart, below `end`.
template <typename Team>
__device__ inline void butterfly(float* x, int2 count_dim, int first, int end) {
  const int pairs = count_dim.x * count_dim.y / 2;
  for (int apart = first; apart < end; apart *= 2) {
    for (int i = Team::rank(); i < pairs; i += Team::kThreads) {
      const int at = i / apart * 2 * apart + i % apart;
      const float a = x[at];
      const float b = x[at + apart];
      x[at] = a + b;
      x[at + apart] = a - b;
    }
    Team::sync();
  }
}

template <typename Team>
__device__ inline void scale_vectors(float* x, int2 count_dim, float factor, bool with_signs) {
  for (int i = Team::rank(); i < count_dim.x * count_dim.y; i += Team::kThreads) {
    const float scaled = __fmul_rn(x[i], factor);
    x[i] = with_signs ? scaled * random_sign(i % count_dim.y) : scaled;
  }
  Team::sync();
}

/// float(1 / sqrt(n)).
__device__ inline float root_factor(int dim) {
  return static_cast<float>(1.0 / sqrt(static_cast<double>(dim)));
}

/// T: of entries.
template <typename Team>
__device__ inline void turn_entries(Transform transform, float* x, int2 count_dim) {
  if (transform == Transform::kNone) {
    return;
  }
  if (transform == Transform::kEvenOdd) {
    butterfly<Team>(x, count_dim, 2, 64);
    return;
  }
  if (transform == Transform::kSignedHadamard) {
    scale_vectors<Team>(x, count_dim, 1.0F, true);
  }
  butterfly<Team>(x, count_dim, 1, count_dim.y);
  scale_vectors<Team>(x, count_dim, root_factor(count_dim.y), false);
}

/// What makes products with stored keys those with the keys themselves.
template <typename Team>
__device__ inline void turn_queries(Transform transform, float* x, int2 count_dim) {
  turn_entries<Team>(transform, x, count_dim);
  if (transform == Transform::kEvenOdd) {
    scale_vectors<Team>(x, count_dim, 1.0F / 32.0F, false);
  }
}

/// T^-1: of outputs.
template <typename Team>
__device__ inline void turn_outputs(Transform transform, float* x, int2 count_dim) {
  if (transform == Transform::kSignedHadamard) {
    butterfly<Team>(x, count_dim, 1, count_dim.y);
    scale_vectors<Team>(x, count_dim, root_factor(count_dim.y), true);
  } else {
    turn_queries<Team>(transform, x, count_dim);
  }
}

}  // namespace kvg::kernels
