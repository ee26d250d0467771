#pragma once

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/scoring_scratch.cuh"

// Tiles of products that observations are made of: a block of four warps holds on to kScoreTile
// rows, 16 a warp, and walks over others, the columns. f16 and bf16 go through the matrix units;
// f32 is computed in the same layout with plain arithmetic.
namespace kvg::kernels {

inline constexpr int kScoreThreads = kScoreTile / 16 * kWarp;

template <typename T, int Dim>
struct ScoreTile {
  static constexpr int kColumns = sizeof(T) == 4 || Dim > 128 ? 32 : 64;
  static constexpr int kTiles = kColumns / 8;
  /// 16 bytes more: eight rows of a column differ in bank.
  static constexpr int kStride = Dim + 16 / static_cast<int>(sizeof(T));
};

/// Products of a warp's rows with the columns of a tile. Element i of [tile] belongs to row
/// lane / 4 + i / 2 * 8 and column tile * 8 + lane % 4 * 2 + i % 2.
template <typename T, int Dim>
using Products = float[ScoreTile<T, Dim>::kTiles][4];

__device__ inline int lane_row() {
  return static_cast<int>(threadIdx.x) % kWarp / 4;
}
__device__ inline int lane_column() {
  return static_cast<int>(threadIdx.x) % 4 * 2;
}

/// A warp's 16 rows, in registers.
template <typename T, int Dim>
class HeldRows {
 public:
  /// `rows` points to the first of them in shared memory.
  __device__ explicit HeldRows(const T* rows) {
    const int lane = threadIdx.x % kWarp;
    const T* at = rows + lane % 16 * ScoreTile<T, Dim>::kStride + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
      load_matrices(a_[k], at + k * 16);
    }
  }

  __device__ void multiply_with(const T* columns, Products<T, Dim>& out) const {
    constexpr int kStride = ScoreTile<T, Dim>::kStride;
    const int lane = threadIdx.x % kWarp;
    const T* at = columns + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
#pragma unroll
      for (int tile = 0; tile < ScoreTile<T, Dim>::kTiles; tile += 2) {
        unsigned b[4];
        load_matrices(b, at + tile * 8 * kStride + k * 16);
        multiply(out[tile], a_[k], {b[0], b[1]}, T{});
        multiply(out[tile + 1], a_[k], {b[2], b[3]}, T{});
      }
    }
  }

 private:
  unsigned a_[Dim / 16][4];
};

template <int Dim>
class HeldRows<float, Dim> {
 public:
  __device__ explicit HeldRows(const float* rows) : rows_(rows + lane_row() * kStride) {}

  __device__ void multiply_with(const float* columns, Products<float, Dim>& out) const {
    const float* at = columns + lane_column() * kStride;
#pragma unroll 2
    for (int k = 0; k < Dim; k += 4) {
      const float4 a[2] = {four(rows_ + k), four(rows_ + 8 * kStride + k)};
#pragma unroll
      for (int tile = 0; tile < ScoreTile<float, Dim>::kTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float4 b = four(at + (tile * 8 + i % 2) * kStride + k);
          out[tile][i] = dot(a[i / 2], b, out[tile][i]);
        }
      }
    }
  }

 private:
  static constexpr int kStride = ScoreTile<float, Dim>::kStride;

  __device__ static float4 four(const float* at) {
    return *reinterpret_cast<const float4*>(at);
  }
  __device__ static float dot(const float4& a, const float4& b, float sum) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
  }

  const float* rows_;
};

/// Starts a copy of one pair of floats to shared memory; zeros instead of what lies outside.
__device__ inline void copy_pair_async(float2* shared, const float2* from, bool inside) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(inside ? 8 : 0));
}

/// The sum over the four lanes that share a row.
__device__ inline double sum_of_row(double value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  value += __shfl_xor_sync(kAllLanes, value, 2);
  return value;
}

}  // namespace kvg::kernels
