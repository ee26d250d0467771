#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/visible.cuh"

// Causal attention of a prompt in plain f32, for checking: a warp takes one query, a lane one key
// of a tile and then some channels of the result.

namespace kvg::kernels {
namespace {

constexpr int kQueries = 8;
constexpr int kThreads = kQueries * kWarp;
constexpr int kKeys = kWarp;
constexpr float kLog2E = 1.4426950408889634F;

template <int Dim>
struct PlainShared {
  static constexpr int kStride = Dim + 4;
  alignas(16) float keys[kKeys * kStride];
  alignas(16) float values[kKeys * kStride];
  alignas(16) float queries[kQueries][Dim];
};

template <int Dim>
__device__ float score_key(const float* query, const float* key) {
  float sum = 0.0F;
#pragma unroll 8
  for (int i = 0; i < Dim; i += 4) {
    const float4 a = *reinterpret_cast<const float4*>(query + i);
    const float4 b = *reinterpret_cast<const float4*>(key + i);
    sum += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
  }
  return sum;
}

// A query's running softmax and this lane's channels of its result.
template <int Dim>
struct Running {
  static constexpr int kOwn = (Dim + kWarp - 1) / kWarp;

  float largest = -INFINITY;
  float sum = 0.0F;
  float mixed[kOwn] = {};

  // Takes a tile: this lane's score, and the values of all lanes' keys.
  __device__ void take(float score, const float* values) {
    const int lane = threadIdx.x % kWarp;
    const float now = fmaxf(largest, warp_max(score));
    // Nothing seen so far weighs nothing.
    const float base = now == -INFINITY ? 0.0F : now;
    const float weight = exp2f(score - base);
    const float decay = exp2f(largest - base);
    largest = now;
    sum = sum * decay + warp_sum(weight);
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      mixed[own] *= decay;
    }
    for (int key = 0; key < kKeys; ++key) {
      const float key_weight = __shfl_sync(kAllLanes, weight, key);
#pragma unroll
      for (int own = 0; own < kOwn; ++own) {
        const int channel = own * kWarp + lane;
        if (channel < Dim) {
          mixed[own] =
              fmaf(key_weight, values[key * PlainShared<Dim>::kStride + channel], mixed[own]);
        }
      }
    }
  }

  __device__ void store(float* out) const {
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      const int channel = own * kWarp + static_cast<int>(threadIdx.x) % kWarp;
      if (channel < Dim) {
        out[channel] = mixed[own] / sum;
      }
    }
  }
};

// Where a warp's query lies, and the keys and values of its kv_head.
template <int Dim>
struct Work {
  int first;  // query of the block
  int query;
  bool present;
  std::int64_t row_at;
  const float* keys;
  const float* values;

  __device__ explicit Work(const PrefillAttendArgs& args)
      : first(blockIdx.x * kQueries),
        query(first + static_cast<int>(threadIdx.x) / kWarp),
        present(query < args.tokens) {
    const int head = blockIdx.y;
    const std::int64_t batch = blockIdx.z;
    const std::int64_t pitch = static_cast<std::int64_t>(args.shape.heads) * Dim;
    row_at = (batch * args.tokens + query) * pitch + head * Dim;
    const int kv_head = head / (args.shape.heads / args.shape.kv_heads);
    const std::int64_t kv_at = batch * args.kv.batch_stride + kv_head * args.kv.head_stride;
    keys = static_cast<const float*>(args.kv.keys) + kv_at;
    values = static_cast<const float*>(args.kv.values) + kv_at;
  }
};

// Adds a stretch of keys to what the block's queries have seen.
template <int Dim>
__device__ void attend_stretch(const PrefillAttendArgs& args,
                               const Work<Dim>& work,
                               const KeyStretch& stretch,
                               PlainShared<Dim>& shared,
                               Running<Dim>& running) {
  constexpr int kStride = PlainShared<Dim>::kStride;
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const bool of_sinks = stretch.of_sinks && args.sink_query != nullptr;
  const auto* queries = static_cast<const float*>(of_sinks ? args.sink_query : args.query);
  // A warp alone reads what it writes here.
  for (int i = lane; i < Dim; i += kWarp) {
    shared.queries[warp][i] = work.present ? queries[work.row_at + i] * args.scale * kLog2E : 0.0F;
  }
  const int2 seen = stretch.seen(args.sees, args.past + work.query);
  for (int begin = stretch.begin; begin < stretch.end; begin += kKeys) {
    const std::int64_t at = static_cast<std::int64_t>(begin) * Dim;
    const int2 rows = make_int2(kKeys, stretch.end - begin);
    copy_rows<float, Dim, kStride, kThreads>(shared.keys, work.keys + at, rows, Dim);
    copy_rows<float, Dim, kStride, kThreads>(shared.values, work.values + at, rows, Dim);
    wait_copies<0>();
    const float dot = score_key<Dim>(shared.queries[warp], shared.keys + lane * kStride);
    const int key = begin + lane;
    const bool visible = key >= seen.x && key <= seen.y && key < stretch.end;
    running.take(visible ? dot : -INFINITY, shared.values);
    __syncthreads();
  }
}

template <int Dim>
__global__ void __launch_bounds__(kThreads) plain_kernel(PrefillAttendArgs args) {
  extern __shared__ __align__(16) unsigned char raw[];
  auto& shared = *reinterpret_cast<PlainShared<Dim>*>(raw);
  allow_next();
  wait_for_inputs();
  const Work<Dim> work(args);
  const int end = args.past + min(work.first + kQueries, args.tokens);
  Running<Dim> running;
  attend_stretch(args, work, sinks_of(args, end), shared, running);
  attend_stretch(args, work, others_of(args, args.past + work.first, end), shared, running);
  if (work.present) {
    running.store(static_cast<float*>(args.out) + work.row_at);
  }
}

}  // namespace

void plain_prefill_attend(const Target& target, const PrefillAttendArgs& args) {
  dispatch_head_dim("prefill attention", args.shape.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    launch(target,
           plain_kernel<kDim>,
           {.blocks = dim3(ceil_div(args.tokens, kQueries),
                           static_cast<unsigned>(args.shape.heads),
                           static_cast<unsigned>(args.batch)),
            .threads = kThreads,
            .shared_bytes = sizeof(PlainShared<kDim>)},
           args);
  });
}

}  // namespace kvg::kernels
