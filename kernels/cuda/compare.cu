#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/reduce.cuh"

// One block compares two rows of logits. It goes over each three times, after the first from L2:
// their largest, their sums of exponentials, and the divergence. Everything after the largest is
// in double, where a sum over a whole vocabulary keeps what little separates two close rows.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;

// Every thread gets the same sum.
__device__ double block_sum(double value, double (&partial)[kWarps]) {
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    partial[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  const int lane = threadIdx.x % kWarp;
  return warp_sum(lane < kWarps ? partial[lane] : 0.0);
}

__device__ double block_max(double value, double (&partial)[kWarps]) {
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    partial[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  const int lane = threadIdx.x % kWarp;
  return warp_max(lane < kWarps ? partial[lane] : -INFINITY);
}

// ln of the sum of a row's exponentials.
__device__ double log_sum(const float* logits, int vocab, double (&partial)[kWarps]) {
  float largest = -INFINITY;
  for (int i = threadIdx.x; i < vocab; i += kThreads) {
    largest = fmaxf(largest, logits[i]);
  }
  const double highest = block_max(static_cast<double>(largest), partial);
  double sum = 0.0;
  for (int i = threadIdx.x; i < vocab; i += kThreads) {
    sum += exp(static_cast<double>(logits[i]) - highest);
  }
  return highest + log(block_sum(sum, partial));
}

__global__ void __launch_bounds__(kThreads) compare_kernel(CompareArgs args) {
  __shared__ double partial[kWarps];
  allow_next();
  wait_for_inputs();
  const int row = blockIdx.x;
  const float* reference = args.reference + static_cast<std::size_t>(row) * args.vocab;
  const float* logits = args.logits + static_cast<std::size_t>(row) * args.vocab;
  const double reference_sum = log_sum(reference, args.vocab, partial);
  const double sum = log_sum(logits, args.vocab, partial);
  double divergence = 0.0;
  for (int i = threadIdx.x; i < args.vocab; i += kThreads) {
    const double log_p = static_cast<double>(reference[i]) - reference_sum;
    const double log_q = static_cast<double>(logits[i]) - sum;
    const double p = exp(log_p);
    // p and q sum to 1, so that taking their difference changes nothing but the rounding: every
    // term is at least 0, and an error of a sum cancels to first order.
    divergence += (p > 0.0 ? p * (log_p - log_q) - p : 0.0) + exp(log_q);
  }
  divergence = block_sum(divergence, partial);
  if (threadIdx.x == 0) {
    args.kl[row] = static_cast<float>(divergence < 0.0 ? 0.0 : divergence);
  }
}

}  // namespace

void compare_rows(const Target& target, const CompareArgs& args) {
  launch(target,
         compare_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.rows)), .threads = kThreads},
         args);
}

}  // namespace kvg::kernels
