#pragma once

#include "kernels/cuda/gemv_epilogues.cuh"

// Projections of a few rows element by element, in f32: for f32 weights, and for 16-bit rows that
// do not start at multiples of 16 bytes. A warp takes one unit at a time.

namespace kvg::kernels {

template <typename T, int kWidth>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_elements_kernel(const __grid_constant__ Projection<T> projection) {
  const GemvArgs& args = projection.gemv;
  extern __shared__ __align__(16) unsigned char shared[];
  T* x = reinterpret_cast<T*>(shared);
  allow_next();
  RowStager<T> stager(args);
  wait_for_inputs();
  stager.stage(x);
  const int first = args.share.first();
  const int units = args.share.count();
  const int lane = threadIdx.x % kWarp;
  for (int own = threadIdx.x / kWarp; own < units; own += kGemvWarps) {
    const int unit = first + own;
    const T* weight[kWidth];
#pragma unroll
    for (int which = 0; which < kWidth; ++which) {
      weight[which] = static_cast<const T*>(args.weight) +
                      static_cast<std::size_t>(projection.row(unit, which)) * args.length;
    }
    float sums[kMaxDecodeRows][kWidth] = {};
#pragma unroll 4
    for (int i = lane; i < args.length; i += kWarp) {
#pragma unroll
      for (int which = 0; which < kWidth; ++which) {
        const float value = to_float(weight[which][i]);
#pragma unroll
        for (int r = 0; r < kMaxDecodeRows; ++r) {
          if (r < args.rows) {
            sums[r][which] = fmaf(value, to_float(x[r * args.stride + i]), sums[r][which]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kMaxDecodeRows; ++r) {
      if (r < args.rows) {
#pragma unroll
        for (int which = 0; which < kWidth; ++which) {
          sums[r][which] = warp_sum(sums[r][which]);
        }
        if (lane == r) {
          projection.finish(projection.foresee(unit, r), sums[r][0], sums[r][kWidth - 1]);
        }
      }
    }
  }
}

/// Bytes of shared memory for the input rows.
constexpr std::size_t elements_bytes(int rows, int length, std::size_t element) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(gemv_stride(length)) * element;
}

template <typename T>
void launch_elements(const Target& target, Projection<T> projection) {
  GemvArgs& args = projection.gemv;
  args.stride = gemv_stride(args.length);
  const int blocks = std::min(args.units, 4 * target.multiprocessors);
  args.share = UnitShare(args.units, blocks, args.last_take_more);
  launch(target,
         projection.is_paired() ? gemv_elements_kernel<T, 2> : gemv_elements_kernel<T, 1>,
         {.blocks = dim3(static_cast<unsigned>(blocks)),
          .threads = kGemvThreads,
          .shared_bytes = elements_bytes(args.rows, args.length, sizeof(T))},
         projection);
}

}  // namespace kvg::kernels
