#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_reduce.cuh"

// LagKV: a block takes one partition of a kv_head. Whatever has no next partition is filled in.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

// Partitions that are ranked; 0: the prompt is too short.
__host__ __device__ int ranked_partitions(const LagArgs& args) {
  const bool is_short = args.to.keys < args.sinks + 2 * args.lag;
  return is_short ? 0 : (args.to.keys - args.sinks) / args.lag - 1;
}

__global__ void __launch_bounds__(kThreads) lag_ends_kernel(LagArgs args) {
  allow_next();
  wait_for_inputs();
  const int key = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int ranked = ranked_partitions(args);
  const int end = args.sinks + ranked * args.lag;
  if (key >= args.to.keys || (key >= args.sinks && key < end)) {
    return;
  }
  double* out = args.to.out + static_cast<std::int64_t>(blockIdx.y) * args.to.keys;
  out[key] = key < args.sinks ? INFINITY : key;
}

struct LagShared {
  double* figures;  // [lag]
  double* spread;   // [lag]
  float* least;     // [head_dim]
  float* most;      // [head_dim]

  __device__ LagShared(unsigned char* raw, int lag, int dim)
      : figures(reinterpret_cast<double*>(raw)),
        spread(figures + lag),
        least(reinterpret_cast<float*>(spread + lag)),
        most(least + dim) {}
};

// The standard deviation over the channels of one entry, by a warp.
template <typename T>
__device__ double spread_of(const LagShared& shared, const T* entry, int dim) {
  const auto figure = [&](int c) {
    const double range = static_cast<double>(shared.most[c]) - static_cast<double>(shared.least[c]);
    const double above =
        static_cast<double>(to_float(entry[c])) - static_cast<double>(shared.least[c]);
    return range > 0.0 ? above / range : 0.0;
  };
  const int lane = threadIdx.x % kWarp;
  double sum = 0.0;
  for (int c = lane; c < dim; c += kWarp) {
    sum += figure(c);
  }
  const double mean = warp_sum(sum) / dim;
  double squares = 0.0;
  for (int c = lane; c < dim; c += kWarp) {
    squares += (figure(c) - mean) * (figure(c) - mean);
  }
  return sqrt(warp_sum(squares) / max(dim - 1, 1));
}

// Adds the softmax over a partition of the spread of its entries, seen from the next partition.
// `entries` is the first of the partition.
template <typename T>
__device__ void add_spreads(const LagShared& shared, const T* entries, int lag, int dim) {
  const T* next = entries + static_cast<std::int64_t>(lag) * dim;
  for (int c = threadIdx.x; c < dim; c += kThreads) {
    float least = INFINITY;
    float most = -INFINITY;
    for (int i = 0; i < lag; ++i) {
      const float x = to_float(next[static_cast<std::int64_t>(i) * dim + c]);
      least = fminf(least, x);
      most = fmaxf(most, x);
    }
    shared.least[c] = least;
    shared.most[c] = most;
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int i = warp; i < lag; i += kThreads / kWarp) {
    const double spread = spread_of(shared, entries + static_cast<std::int64_t>(i) * dim, dim);
    if (lane == 0) {
      shared.spread[i] = spread;
    }
  }
  __syncthreads();
  // Every warp sums up by itself.
  double largest = 0.0;
  for (int i = lane; i < lag; i += kWarp) {
    largest = fmax(largest, shared.spread[i]);
  }
  largest = warp_max(largest);
  double sum = 0.0;
  for (int i = lane; i < lag; i += kWarp) {
    sum += exp(shared.spread[i] - largest);
  }
  sum = warp_sum(sum);
  for (int i = threadIdx.x; i < lag; i += kThreads) {
    shared.figures[i] += exp(shared.spread[i] - largest) / sum;
  }
  __syncthreads();
}

// Block: partition x (batch row, kv_head).
template <typename T>
__global__ void __launch_bounds__(kThreads) lag_kernel(LagArgs args) {
  extern __shared__ __align__(16) unsigned char raw[];
  allow_next();
  wait_for_inputs();
  const PromptScores& to = args.to;
  const int dim = to.shape.head_dim;
  const LagShared shared(raw, args.lag, dim);
  const int first = args.sinks + static_cast<int>(blockIdx.x) * args.lag;
  const std::int64_t at = static_cast<int>(blockIdx.y) / to.shape.kv_heads * to.kv.batch_stride +
                          static_cast<int>(blockIdx.y) % to.shape.kv_heads * to.kv.head_stride +
                          static_cast<std::int64_t>(first) * dim;
  for (int i = threadIdx.x; i < args.lag; i += kThreads) {
    shared.figures[i] = 0.0;
  }
  add_spreads(shared, static_cast<const T*>(to.kv.keys) + at, args.lag, dim);
  add_spreads(shared, static_cast<const T*>(to.kv.values) + at, args.lag, dim);
  double* out = to.out + static_cast<std::int64_t>(blockIdx.y) * to.keys + first;
  for (int i = threadIdx.x; i < args.lag; i += kThreads) {
    const double own = shared.figures[i];
    int below = 0;
    for (int j = 0; j < args.lag; ++j) {
      below += shared.figures[j] < own || (shared.figures[j] == own && j < i) ? 1 : 0;
    }
    out[i] = static_cast<double>(below) / args.lag;
  }
}

}  // namespace

void CudaScoring::lag(const LagArgs& args) {
  const PromptScores& to = args.to;
  check(to.kv);
  KVG_EXPECT(args.lag > 0, "a partition has entries");
  if (to.keys == 0 || to.batch == 0) {
    return;
  }
  const auto rows = static_cast<unsigned>(to.batch * to.shape.kv_heads);
  launch(target_,
         lag_ends_kernel,
         {.blocks = dim3(ceil_div(static_cast<std::size_t>(to.keys), kThreads), rows),
          .threads = kThreads},
         args);
  const int ranked = ranked_partitions(args);
  if (ranked == 0) {
    return;
  }
  const std::size_t bytes = 2 * static_cast<std::size_t>(args.lag) * sizeof(double) +
                            2 * static_cast<std::size_t>(to.shape.head_dim) * sizeof(float);
  KVG_EXPECT(bytes <= static_cast<std::size_t>(target_.shared_bytes),
             "a partition's figures fit shared memory");
  dispatch_element(compute_, [&](auto element) {
    launch(target_,
           lag_kernel<decltype(element)>,
           {.blocks = dim3(static_cast<unsigned>(ranked), rows),
            .threads = kThreads,
            .shared_bytes = bytes},
           args);
  });
}

}  // namespace kvg::kernels
