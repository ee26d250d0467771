#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_scratch.cuh"
#include "kernels/cuda/scoring_select.cuh"

// Scores of keys by themselves, and ThinK's channels: sums per channel over stretches of keys, then
// over the stretches.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

template <typename T>
__device__ const T* keys_of(const KvView& kv, const HeadShape& shape, int index) {
  return static_cast<const T*>(kv.keys) + index / shape.kv_heads * kv.batch_stride +
         index % shape.kv_heads * kv.head_stride;
}

// A warp takes one key: -|k|, or with an anchor for each kv_head -cos(k, anchor).
template <typename T>
__global__ void __launch_bounds__(kThreads)
    score_keys_kernel(PromptScores args, const double* anchors) {
  allow_next();
  wait_for_inputs();
  const int key = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  const int lane = threadIdx.x % kWarp;
  const int dim = args.shape.head_dim;
  if (key >= args.keys) {
    return;
  }
  const T* k = keys_of<T>(args.kv, args.shape, static_cast<int>(blockIdx.y)) +
               static_cast<std::int64_t>(key) * dim;
  double score = sqrt(warp_sum(square_of_part(k, dim)));
  if (anchors != nullptr) {
    const double* anchor = anchors + static_cast<std::int64_t>(blockIdx.y) * dim;
    double dot = 0.0;
    for (int c = lane; c < dim; c += kWarp) {
      dot += anchor[c] * static_cast<double>(to_float(k[c]));
    }
    score = warp_sum(dot) / fmax(score, kLeastNorm);
  }
  if (lane == 0) {
    args.out[static_cast<std::int64_t>(blockIdx.y) * args.keys + key] = -score;
  }
}

struct ChannelSumsArgs {
  KvView kv;
  HeadShape shape;
  int keys;
  bool units;  // sums of k / |k|; else of squares
  ChannelScratch scratch;
};

// Block: kChannelKeys keys x (batch row, kv_head).
template <typename T>
__global__ void __launch_bounds__(kThreads) channel_partials_kernel(ChannelSumsArgs args) {
  __shared__ double factors[kChannelKeys];
  allow_next();
  wait_for_inputs();
  const int dim = args.shape.head_dim;
  const int first = static_cast<int>(blockIdx.x) * kChannelKeys;
  const int count = min(kChannelKeys, args.keys - first);
  const T* keys = keys_of<T>(args.kv, args.shape, static_cast<int>(blockIdx.y)) +
                  static_cast<std::int64_t>(first) * dim;
  if (args.units) {
    for (int i = static_cast<int>(threadIdx.x) / kWarp; i < count; i += kThreads / kWarp) {
      const double square =
          warp_sum(square_of_part(keys + static_cast<std::int64_t>(i) * dim, dim));
      if (threadIdx.x % kWarp == 0) {
        factors[i] = 1.0 / fmax(sqrt(square), kLeastNorm);
      }
    }
    __syncthreads();
  }
  double* out = args.scratch.partials +
                (static_cast<std::int64_t>(blockIdx.y) * args.scratch.parts + blockIdx.x) * dim;
  for (int c = threadIdx.x; c < dim; c += kThreads) {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      const double x = to_float(keys[static_cast<std::int64_t>(i) * dim + c]);
      sum += x * (args.units ? factors[i] : x);
    }
    out[c] = sum;
  }
}

__device__ double sum_of_channel(const ChannelSumsArgs& args, int channel) {
  const int dim = args.shape.head_dim;
  const double* partial =
      args.scratch.partials + static_cast<std::int64_t>(blockIdx.x) * args.scratch.parts * dim;
  double sum = 0.0;
  for (int part = 0; part < args.scratch.parts; ++part) {
    sum += partial[static_cast<std::int64_t>(part) * dim + channel];
  }
  return sum;
}

// The mean of a kv_head's keys, each of length 1, made of length 1.
__global__ void __launch_bounds__(kScoringBlock) anchor_kernel(ChannelSumsArgs args) {
  allow_next();
  wait_for_inputs();
  const int dim = args.shape.head_dim;
  double* anchor = args.scratch.sums + static_cast<std::int64_t>(blockIdx.x) * dim;
  double square = 0.0;
  for (int c = threadIdx.x; c < dim; c += kScoringBlock) {
    const double mean = sum_of_channel(args, c) / args.keys;
    anchor[c] = mean;
    square += mean * mean;
  }
  const double norm = fmax(sqrt(block_sum(square)), kLeastNorm);
  for (int c = threadIdx.x; c < dim; c += kScoringBlock) {
    anchor[c] /= norm;
  }
}

// Block: a kv_head of a batch row.
template <typename T>
__global__ void __launch_bounds__(kScoringBlock)
    choose_channels_kernel(ChannelArgs args, ChannelSumsArgs of_keys) {
  allow_next();
  wait_for_inputs();
  const HeadShape& shape = args.shape;
  const int dim = shape.head_dim;
  const int group = shape.heads / shape.kv_heads;
  const std::int64_t batch = blockIdx.x / shape.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.x) % shape.kv_heads;
  const int first = max(args.window - args.keys, 0);
  double* figures = of_keys.scratch.sums + static_cast<std::int64_t>(blockIdx.x) * dim;
  for (int c = threadIdx.x; c < dim; c += kScoringBlock) {
    double sum = 0.0;
    for (int i = first; i < args.window; ++i) {
      const T* query = static_cast<const T*>(args.query) +
                       ((batch * args.window + i) * shape.heads + kv_head * group) * dim;
      for (int head = 0; head < group; ++head) {
        const double x = to_float(query[head * dim + c]);
        sum += x * x;
      }
    }
    figures[c] = sum / ((args.window - first) * group) * (sum_of_channel(of_keys, c) / args.keys);
  }
  __syncthreads();
  const auto key = [&](int c) { return rank_of(figures[c]); };
  const auto tie = [&](int c) { return static_cast<std::uint64_t>(dim - 1 - c); };
  const Threshold threshold = select_largest(dim, args.count, key, tie);
  std::int16_t* out = args.channels + static_cast<std::int64_t>(blockIdx.x) * args.count;
  keep_in_order(
      dim,
      [&](int c) { return reaches(threshold, key(c), tie(c)); },
      [&](int c, int index) { out[index] = static_cast<std::int16_t>(c); });
}

// Enqueues the sums of the keys' channels (`units`: of keys of length 1), in parts. `Args`:
// PromptScores or ChannelArgs.
template <typename Args>
ChannelSumsArgs channel_sums(const Target& target,
                             const Args& args,
                             bool units,
                             Stretches& memory) {
  const ChannelSumsArgs sums = {
      .kv = args.kv,
      .shape = args.shape,
      .keys = args.keys,
      .units = units,
      .scratch =
          channel_scratch(memory, {.heads = args.shape, .batch = args.batch, .count = args.keys})};
  const auto rows = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  dispatch_element(args.kv.dtype, [&](auto element) {
    launch(target,
           channel_partials_kernel<decltype(element)>,
           {.blocks = dim3(static_cast<unsigned>(sums.scratch.parts), rows), .threads = kThreads},
           sums);
  });
  return sums;
}

void score_keys(const Target& target, const PromptScores& args, const double* anchors) {
  dispatch_element(args.kv.dtype, [&](auto element) {
    launch(target,
           score_keys_kernel<decltype(element)>,
           {.blocks = dim3(ceil_div(static_cast<std::size_t>(args.keys) * kWarp, kThreads),
                           static_cast<unsigned>(args.batch * args.shape.kv_heads)),
            .threads = kThreads},
           args,
           anchors);
  });
}

}  // namespace

void CudaScoring::key_norms(const PromptScores& args) {
  check(args.kv);
  if (args.keys > 0 && args.batch > 0) {
    score_keys(target_, args, nullptr);
  }
}

void CudaScoring::key_likeness(const PromptScores& args) {
  check(args.kv);
  if (args.keys == 0 || args.batch == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  const ChannelSumsArgs sums = channel_sums(target_, args, true, memory);
  const auto rows = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  launch(target_, anchor_kernel, {.blocks = dim3(rows), .threads = kScoringBlock}, sums);
  score_keys(target_, args, sums.scratch.sums);
}

void CudaScoring::choose_channels(const ChannelArgs& args) {
  check(args.kv);
  KVG_EXPECT(args.count > 0 && args.count <= args.shape.head_dim, "some of the channels");
  if (args.keys == 0 || args.batch == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  const ChannelSumsArgs sums = channel_sums(target_, args, false, memory);
  const auto rows = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  dispatch_element(compute_, [&](auto element) {
    launch(target_,
           choose_channels_kernel<decltype(element)>,
           {.blocks = dim3(rows), .threads = kScoringBlock},
           args,
           sums);
  });
}

}  // namespace kvg::kernels
