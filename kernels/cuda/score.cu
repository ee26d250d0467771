#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/reduce.cuh"

// One block reads a row of logits once. The sum of exponentials is relative to the largest logit
// seen and kept in double, so that a likelihood near 1 keeps its digits.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 1024;
constexpr std::int32_t kNowhere = 0x7fffffff;

// The largest logit, where it is, and the sum of exp(logit - largest).
struct Best {
  float largest = -INFINITY;
  std::int32_t at = kNowhere;
  double sum = 0.0;

  // Takes logits at ascending indices.
  template <int Count>
  __device__ void take(const float (&logits)[Count], std::int32_t index) {
    float highest = logits[0];
#pragma unroll
    for (int i = 1; i < Count; ++i) {
      highest = fmaxf(highest, logits[i]);
    }
    if (highest > largest || at == kNowhere) {
      sum *= largest == -INFINITY ? 0.0 : static_cast<double>(__expf(largest - highest));
      largest = highest;
#pragma unroll
      for (int i = Count - 1; i >= 0; --i) {
        at = logits[i] == highest ? index + i : at;
      }
    }
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      sum += logits[i] == -INFINITY ? 0.0 : static_cast<double>(__expf(logits[i] - largest));
    }
  }
};

__device__ Best merge(const Best& a, const Best& b) {
  const bool first = a.largest > b.largest || (a.largest == b.largest && a.at < b.at);
  const Best& high = first ? a : b;
  const Best& low = first ? b : a;
  const double weight =
      low.largest == -INFINITY ? 0.0 : static_cast<double>(expf(low.largest - high.largest));
  return {high.largest, high.at, high.sum + low.sum * weight};
}

__device__ Best warp_best(Best value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    Best other;
    other.largest = __shfl_down_sync(kAllLanes, value.largest, step);
    other.at = __shfl_down_sync(kAllLanes, value.at, step);
    other.sum = __shfl_down_sync(kAllLanes, value.sum, step);
    value = merge(value, other);
  }
  return value;
}

__global__ void __launch_bounds__(kThreads) score_kernel(ScoreArgs args) {
  __shared__ Best partial[kThreads / kWarp];
  allow_next();
  wait_for_inputs();
  const int row = blockIdx.x;
  const float* logits = args.logits + static_cast<std::size_t>(row) * args.vocab;
  Best own;
  if (args.vocab % 4 == 0 && reinterpret_cast<std::uintptr_t>(args.logits) % 16 == 0) {
#pragma unroll 4
    for (int i = 4 * threadIdx.x; i < args.vocab; i += 4 * kThreads) {
      const float4 four = *reinterpret_cast<const float4*>(logits + i);
      own.take({four.x, four.y, four.z, four.w}, i);
    }
  } else {
    for (int i = threadIdx.x; i < args.vocab; i += kThreads) {
      own.take({logits[i]}, i);
    }
  }
  own = warp_best(own);
  const int warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) {
    partial[warp] = own;
  }
  __syncthreads();
  if (warp != 0) {
    return;
  }
  own = warp_best(partial[threadIdx.x]);
  if (threadIdx.x == 0) {
    const std::int32_t target = args.targets[row];
    args.best[row] = min(own.at, args.vocab - 1);  // where no logit is a number it is nowhere
    args.nll[row] = target < 0
                        ? 0.0F
                        : static_cast<float>(log(own.sum) + (static_cast<double>(own.largest) -
                                                             static_cast<double>(logits[target])));
  }
}

}  // namespace

void score_rows(const Target& target, const ScoreArgs& args) {
  launch(target,
         score_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.rows)), .threads = kThreads},
         args);
}

}  // namespace kvg::kernels
