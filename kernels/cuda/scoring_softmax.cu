#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/scoring_rows.cuh"
#include "kernels/cuda/scoring_tiles.cuh"

// The first pass over a prompt's scores: a block holds 64 queries of a head and walks over the keys
// that they see, or over a part of them where the queries alone would not fill the device.

namespace kvg::kernels {
namespace {

struct SoftmaxArgs {
  QueryRows queries;
  float2* out;  // rows, or with more than one split partials
  int splits;
};

template <typename T, int Dim>
struct SoftmaxShared {
  static constexpr int kStride = ScoreTile<T, Dim>::kStride;
  alignas(16) T queries[kScoreTile * kStride];
  alignas(16) T keys[2][ScoreTile<T, Dim>::kColumns * kStride];
};

// The running softmax of a lane's two rows over its own columns.
struct Running {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};

  template <int Tiles>
  __device__ void take(const float (&scores)[Tiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float now = largest[half];
#pragma unroll
      for (int tile = 0; tile < Tiles; ++tile) {
        now = fmaxf(now, fmaxf(scores[tile][2 * half], scores[tile][2 * half + 1]));
      }
      if (now == -INFINITY) {
        continue;
      }
      float added = 0.0F;
#pragma unroll
      for (int tile = 0; tile < Tiles; ++tile) {
        added += exp2f(scores[tile][2 * half] - now) + exp2f(scores[tile][2 * half + 1] - now);
      }
      sum[half] = sum[half] * exp2f(largest[half] - now) + added;
      largest[half] = now;
    }
  }

  // Over the four lanes of a row.
  __device__ float2 whole(int half) const {
    float now = largest[half];
    now = fmaxf(now, __shfl_xor_sync(kAllLanes, now, 1));
    now = fmaxf(now, __shfl_xor_sync(kAllLanes, now, 2));
    float all = largest[half] == -INFINITY ? 0.0F : sum[half] * exp2f(largest[half] - now);
    all += __shfl_xor_sync(kAllLanes, all, 1);
    all += __shfl_xor_sync(kAllLanes, all, 2);
    return {now, all};
  }
};

// Scales to units of log 2 and hides keys from `visible` (of lane row 0) on.
template <int Tiles>
__device__ void mask(float (&scores)[Tiles][4], float scale, int visible) {
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = tile * 8 + lane_column() + i % 2;
      scores[tile][i] = key < visible + i / 2 * 8 ? scores[tile][i] * scale : -INFINITY;
    }
  }
}

template <typename T, int Dim>
__global__ void __launch_bounds__(kScoreThreads) softmax_rows_kernel(SoftmaxArgs args) {
  constexpr int kColumns = ScoreTile<T, Dim>::kColumns;
  constexpr int kStride = ScoreTile<T, Dim>::kStride;
  extern __shared__ __align__(16) unsigned char raw[];
  auto& shared = *reinterpret_cast<SoftmaxShared<T, Dim>*>(raw);
  allow_next();
  wait_for_inputs();
  const QueryRows& queries = args.queries;
  const HeadShape& shape = queries.shape;
  const int tiles = (queries.tokens + kScoreTile - 1) / kScoreTile;
  // Those with the most keys come first.
  const int first = (tiles - 1 - static_cast<int>(blockIdx.x) % tiles) * kScoreTile;
  const int split = static_cast<int>(blockIdx.x) / tiles;
  const int head = blockIdx.y;
  const std::int64_t batch = blockIdx.z;
  const std::int64_t pitch = static_cast<std::int64_t>(shape.heads) * Dim;
  copy_rows<T, Dim, kStride, kScoreThreads>(shared.queries,
                                            static_cast<const T*>(queries.query) +
                                                batch * queries.batch_stride + first * pitch +
                                                head * Dim,
                                            make_int2(kScoreTile, queries.tokens - first),
                                            pitch);
  const T* keys = static_cast<const T*>(queries.kv.keys) + batch * queries.kv.batch_stride +
                  head / (shape.heads / shape.kv_heads) * queries.kv.head_stride;
  const int seen = queries.past + min(first + kScoreTile, queries.tokens);
  const int part = ((queries.past + queries.tokens - 1) / kColumns / args.splits + 1) * kColumns;
  const int begin = split * part;
  const int end = min(seen, begin + part);
  const auto load = [&](int stage, int at) {
    copy_rows<T, Dim, kStride, kScoreThreads>(shared.keys[stage],
                                              keys + static_cast<std::int64_t>(at) * Dim,
                                              make_int2(kColumns, end - at),
                                              Dim);
  };
  wait_copies<0>();
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16;
  const HeldRows<T, Dim> held(shared.queries + row * kStride);
  const int token = first + row + lane_row();
  Running running;
  if (begin < end) {
    load(0, begin);
  }
  int stage = 0;
  for (int at = begin; at < end; at += kColumns, stage ^= 1) {
    if (at + kColumns < end) {
      load(stage ^ 1, at + kColumns);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    Products<T, Dim> scores = {};
    held.multiply_with(shared.keys[stage], scores);
    // No query sees a key beyond `end` of its part, where the copies are zeros.
    mask(scores, queries.scale * kScoreLog2E, min(queries.past + token + 1, end) - at);
    running.take(scores);
    __syncthreads();
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float2 whole = running.whole(half);
    const int query = token + half * 8;
    if (query < queries.tokens && lane_column() == 0) {
      const std::int64_t rows = static_cast<std::int64_t>(gridDim.z) * shape.heads;
      const std::int64_t at =
          ((split * rows + batch * shape.heads + head) * queries.tokens) + query;
      args.out[at] = args.splits > 1 ? whole : make_float2(whole.x, 1.0F / whole.y);
    }
  }
}

struct MergeArgs {
  float2* rows;
  const float2* partials;
  std::int64_t count;
  int splits;
};

__global__ void __launch_bounds__(256) merge_splits_kernel(MergeArgs args) {
  allow_next();
  wait_for_inputs();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= args.count) {
    return;
  }
  float largest = -INFINITY;
  for (int split = 0; split < args.splits; ++split) {
    largest = fmaxf(largest, args.partials[split * args.count + row].x);
  }
  float sum = 0.0F;
  for (int split = 0; split < args.splits; ++split) {
    const float2 part = args.partials[split * args.count + row];
    sum += part.y * exp2f(part.x - largest);
  }
  args.rows[row] = make_float2(largest, 1.0F / sum);
}

}  // namespace

void softmax_rows(const Target& target, const QueryRows& queries, const RowScratch& scratch) {
  const SoftmaxArgs args = {.queries = queries,
                            .out = scratch.splits > 1 ? scratch.partials : scratch.rows,
                            .splits = scratch.splits};
  const unsigned tiles = ceil_div(static_cast<std::size_t>(queries.tokens), kScoreTile);
  dispatch_element(queries.kv.dtype, [&](auto element) {
    using T = decltype(element);
    dispatch_head_dim("scoring of a prompt", queries.shape.head_dim, [&](auto dim) {
      constexpr int kDim = decltype(dim)::value;
      launch(target,
             softmax_rows_kernel<T, kDim>,
             {.blocks = dim3(tiles * static_cast<unsigned>(scratch.splits),
                             static_cast<unsigned>(queries.shape.heads),
                             static_cast<unsigned>(queries.batch)),
              .threads = kScoreThreads,
              .shared_bytes = sizeof(SoftmaxShared<T, kDim>)},
             args);
    });
  });
  if (scratch.splits > 1) {
    const std::int64_t rows = std::int64_t{queries.batch} * queries.shape.heads * queries.tokens;
    launch(target,
           merge_splits_kernel,
           {.blocks = dim3(ceil_div(static_cast<std::size_t>(rows), 256)), .threads = 256},
           MergeArgs{.rows = scratch.rows,
                     .partials = scratch.partials,
                     .count = rows,
                     .splits = scratch.splits});
  }
}

}  // namespace kvg::kernels
