#pragma once

#include "kernels/cuda/gemv_epilogues.cuh"

// Projections of a few rows element by element, in f32: for f32 weights, and for 16-bit rows that
// do not start at multiples of 16 bytes. A warp takes one unit at a time.

namespace kvg::kernels {

template <typename T, typename Epilogue>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_elements_kernel(GemvArgs args, Epilogue epilogue) {
  constexpr int kWidth = Epilogue::kWidth;
  extern __shared__ __align__(16) unsigned char shared[];
  T* x = reinterpret_cast<T*>(shared);
  allow_next();
  RowStager<T> stager(args);
  wait_for_inputs();
  stager.stage(x);
  const int2 units = gemv_units(args);
  const int lane = threadIdx.x % kWarp;
  for (int own = threadIdx.x / kWarp; own < units.y; own += kGemvWarps) {
    const int unit = units.x + own;
    const T* weight[kWidth];
#pragma unroll
    for (int which = 0; which < kWidth; ++which) {
      weight[which] = static_cast<const T*>(args.weight) +
                      static_cast<std::size_t>(epilogue.row(unit, which)) * args.length;
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
          epilogue.finish(unit, r, sums[r]);
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
  projection.with_epilogue([&](const auto& epilogue) {
    launch(target,
           gemv_elements_kernel<T, std::decay_t<decltype(epilogue)>>,
           {.blocks = dim3(static_cast<unsigned>(std::min(args.units, 2 * target.multiprocessors))),
            .threads = kGemvThreads,
            .shared_bytes = elements_bytes(args.rows, args.length, sizeof(T))},
           args,
           epilogue);
  });
}

}  // namespace kvg::kernels
