#include <algorithm>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/visible.cuh"

// Causal attention of a prompt on the matrix units, after FlashAttention-2: a block takes 64
// queries of one head, 16 a warp, and walks over tiles of keys and values that move through shared
// memory two deep. Scores never leave registers. Blocks with the most keys come first. Tiles that
// no query of a block sees are skipped; sinks go first, scored by queries of their own.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kQueries = 64;
constexpr float kLog2E = 1.4426950408889634F;

template <int Dim>
struct Shape {
  static constexpr int kKeys = Dim <= 128 ? 64 : 32;
  static constexpr int kStride = Dim + 8;  // 16 bytes more: eight rows of a column differ in bank
  static constexpr int kKeyTiles = kKeys / 8;
  static constexpr int kDimTiles = Dim / 8;
};

template <typename T, int Dim>
struct FlashShared {
  alignas(16) T queries[kQueries * Shape<Dim>::kStride];
  alignas(16) T tiles[2][2][Shape<Dim>::kKeys * Shape<Dim>::kStride];  // stage; keys, values
};

// What a warp knows of its 16 queries; a lane holds rows lane / 4 and lane / 4 + 8.
template <int Dim>
struct Accumulator {
  float out[Shape<Dim>::kDimTiles][4] = {};
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};
};

template <typename T, int Dim>
__device__ void score_keys(const T* queries,
                           const T* keys,
                           float (&scores)[Shape<Dim>::kKeyTiles][4]) {
  constexpr int kStride = Shape<Dim>::kStride;
  const int lane = threadIdx.x % kWarp;
  const T* query_at = queries + lane % 16 * kStride + lane / 16 * 8;
  const T* key_at = keys + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < Dim; k += 16) {
    unsigned a[4];
    load_matrices(a, query_at + k);
#pragma unroll
    for (int tile = 0; tile < Shape<Dim>::kKeyTiles; tile += 2) {
      unsigned b[4];
      load_matrices(b, key_at + tile * 8 * kStride + k);
      multiply(scores[tile], a, {b[0], b[1]}, T{});
      multiply(scores[tile + 1], a, {b[2], b[3]}, T{});
    }
  }
}

// Scales scores to log2 units and hides what a query does not see. `seen` are the first and the
// last key of this tile that lane rows 0 and 8 see.
template <int Tiles>
__device__ void mask_scores(float (&scores)[Tiles][4], float scale, const int2 (&seen)[2]) {
  const int column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = tile * 8 + column + i % 2;
      const bool visible = key >= seen[i / 2].x && key <= seen[i / 2].y;
      scores[tile][i] = visible ? scores[tile][i] * scale : -INFINITY;
    }
  }
}

// Turns scores into weights relative to the running maximum of each row.
template <int Dim>
__device__ void weigh_scores(float (&scores)[Shape<Dim>::kKeyTiles][4], Accumulator<Dim>& state) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = state.largest[half];
#pragma unroll
    for (int tile = 0; tile < Shape<Dim>::kKeyTiles; ++tile) {
      largest = fmaxf(largest, fmaxf(scores[tile][2 * half], scores[tile][2 * half + 1]));
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    // Nothing seen so far weighs nothing.
    const float base = largest == -INFINITY ? 0.0F : largest;
    const float decay = exp2f(state.largest[half] - base);
    float sum = 0.0F;
#pragma unroll
    for (int tile = 0; tile < Shape<Dim>::kKeyTiles; ++tile) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[tile][i] = exp2f(scores[tile][i] - base);
        sum += scores[tile][i];
      }
    }
    state.largest[half] = largest;
    state.sum[half] = state.sum[half] * decay + sum;
#pragma unroll
    for (int tile = 0; tile < Shape<Dim>::kDimTiles; ++tile) {
      state.out[tile][2 * half] *= decay;
      state.out[tile][2 * half + 1] *= decay;
    }
  }
}

template <typename T, int Dim>
__device__ void mix_values(const float (&weights)[Shape<Dim>::kKeyTiles][4],
                           const T* values,
                           Accumulator<Dim>& state) {
  constexpr int kStride = Shape<Dim>::kStride;
  const int lane = threadIdx.x % kWarp;
  const T* value_at = values + lane % 16 * kStride + lane / 16 * 8;
#pragma unroll
  for (int tile = 0; tile < Shape<Dim>::kKeyTiles; tile += 2) {
    const unsigned a[4] = {pack_pair(weights[tile][0], weights[tile][1], T{}),
                           pack_pair(weights[tile][2], weights[tile][3], T{}),
                           pack_pair(weights[tile + 1][0], weights[tile + 1][1], T{}),
                           pack_pair(weights[tile + 1][2], weights[tile + 1][3], T{})};
#pragma unroll
    for (int d = 0; d < Shape<Dim>::kDimTiles; d += 2) {
      unsigned b[4];
      load_matrices_transposed(b, value_at + tile * 8 * kStride + d * 8);
      multiply(state.out[d], a, {b[0], b[1]}, T{});
      multiply(state.out[d + 1], a, {b[2], b[3]}, T{});
    }
  }
}

template <typename T, int Dim>
__device__ void store_rows(const PrefillAttendArgs& args,
                           Accumulator<Dim>& state,
                           T* out,
                           int first_query) {
  const std::int64_t pitch = static_cast<std::int64_t>(args.shape.heads) * Dim;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int query = first_query + half * 8;
    if (query < args.tokens) {
      T* row = out + query * pitch + threadIdx.x % 4 * 2;
#pragma unroll
      for (int tile = 0; tile < Shape<Dim>::kDimTiles; ++tile) {
        *reinterpret_cast<unsigned*>(row + tile * 8) =
            pack_pair(state.out[tile][2 * half] / sum, state.out[tile][2 * half + 1] / sum, T{});
      }
    }
  }
}

// Addresses of this block's queries, and of the keys and values of their kv_head.
template <typename T>
struct Work {
  int first;  // query
  std::int64_t pitch;
  const T* queries;
  const T* sink_queries;
  const T* keys;
  const T* values;
  T* out;  // of query 0

  __device__ Work(const PrefillAttendArgs& args, int dim)
      : first(static_cast<int>(gridDim.x - 1 - blockIdx.x) * kQueries),
        pitch(static_cast<std::int64_t>(args.shape.heads) * dim) {
    const int head = blockIdx.y;
    const std::int64_t batch = blockIdx.z;
    const std::int64_t rows_at = batch * args.tokens * pitch + head * dim;
    const int kv_head = head / (args.shape.heads / args.shape.kv_heads);
    const std::int64_t kv_at = batch * args.kv.batch_stride + kv_head * args.kv.head_stride;
    queries = static_cast<const T*>(args.query) + rows_at + first * pitch;
    sink_queries = args.sink_query == nullptr
                       ? queries
                       : static_cast<const T*>(args.sink_query) + rows_at + first * pitch;
    keys = static_cast<const T*>(args.kv.keys) + kv_at;
    values = static_cast<const T*>(args.kv.values) + kv_at;
    out = static_cast<T*>(args.out) + rows_at;
  }

  /// The first of this lane's two queries, counted from `first`.
  __device__ int lane_row() const {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / kWarp * 16 + thread % kWarp / 4;
  }
};

// Adds a stretch of keys to what the block's queries have seen.
template <typename T, int Dim>
__device__ void attend_stretch(const PrefillAttendArgs& args,
                               const Work<T>& work,
                               const KeyStretch& stretch,
                               FlashShared<T, Dim>& shared,
                               Accumulator<Dim>& state) {
  constexpr int kKeys = Shape<Dim>::kKeys;
  constexpr int kStride = Shape<Dim>::kStride;
  if (stretch.begin >= stretch.end) {
    return;
  }
  const auto load = [&](int stage, int begin) {
    const std::int64_t at = static_cast<std::int64_t>(begin) * Dim;
    const int2 rows = make_int2(kKeys, stretch.end - begin);
    copy_rows<T, Dim, kStride, kThreads>(shared.tiles[stage][0], work.keys + at, rows, Dim);
    copy_rows<T, Dim, kStride, kThreads>(shared.tiles[stage][1], work.values + at, rows, Dim);
  };
  copy_rows<T, Dim, kStride, kThreads>(shared.queries,
                                       stretch.of_sinks ? work.sink_queries : work.queries,
                                       make_int2(kQueries, args.tokens - work.first),
                                       work.pitch);
  load(0, stretch.begin);

  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * 16;
  const int position = args.past + work.first + work.lane_row();
  const int2 all_seen[2] = {stretch.seen(args.sees, position),
                            stretch.seen(args.sees, position + 8)};
  int stage = 0;
  for (int begin = stretch.begin; begin < stretch.end; begin += kKeys, stage ^= 1) {
    const bool more = begin + kKeys < stretch.end;
    if (more) {
      load(stage ^ 1, begin + kKeys);
      wait_copies<3>();
    } else {
      wait_copies<1>();
    }
    float scores[Shape<Dim>::kKeyTiles][4] = {};
    score_keys<T, Dim>(shared.queries + warp_row * kStride, shared.tiles[stage][0], scores);
    // What lies behind the stretch is no key of it.
    const int last = stretch.end - 1;
    const int2 seen[2] = {make_int2(all_seen[0].x - begin, min(all_seen[0].y, last) - begin),
                          make_int2(all_seen[1].x - begin, min(all_seen[1].y, last) - begin)};
    mask_scores(scores, args.scale * kLog2E, seen);
    weigh_scores<Dim>(scores, state);
    if (more) {
      wait_copies<2>();
    } else {
      wait_copies<0>();
    }
    mix_values<T, Dim>(scores, shared.tiles[stage][1], state);
    __syncthreads();
  }
}

template <typename T, int Dim>
__global__ void __launch_bounds__(kThreads) flash_kernel(PrefillAttendArgs args) {
  extern __shared__ __align__(16) unsigned char raw[];
  auto& shared = *reinterpret_cast<FlashShared<T, Dim>*>(raw);
  allow_next();
  wait_for_inputs();
  const Work<T> work(args, Dim);
  const int first = args.past + work.first;
  const int end = args.past + min(work.first + kQueries, args.tokens);
  Accumulator<Dim> state;
  attend_stretch<T, Dim>(args, work, sinks_of(args, end), shared, state);
  attend_stretch<T, Dim>(args, work, others_of(args, first, end), shared, state);
  store_rows<T, Dim>(args, state, work.out, work.first + work.lane_row());
}

template <typename T>
void launch_flash(const Target& target, const PrefillAttendArgs& args) {
  dispatch_head_dim("prefill attention", args.shape.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    launch(target,
           flash_kernel<T, kDim>,
           {.blocks = dim3(ceil_div(args.tokens, kQueries),
                           static_cast<unsigned>(args.shape.heads),
                           static_cast<unsigned>(args.batch)),
            .threads = kThreads,
            .shared_bytes = sizeof(FlashShared<T, kDim>)},
           args);
  });
}

}  // namespace

void flash_prefill_attend(const Target& target, const PrefillAttendArgs& args) {
  if (args.kv.dtype == DType::kF16) {
    launch_flash<__half>(target, args);
  } else {
    launch_flash<__nv_bfloat16>(target, args);
  }
}

}  // namespace kvg::kernels
