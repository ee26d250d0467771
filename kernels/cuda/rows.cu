#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/place.cuh"

// What stands around the matrix products of many rows: row-wise and element-wise kernels, bound by
// memory.

namespace kvg::kernels {
namespace {

constexpr int kNormThreads = 256;
constexpr int kFinishThreads = 256;
constexpr int kPlaceThreads = 128;
constexpr int kMaxHeadDim = 256;

template <typename T>
__global__ void __launch_bounds__(kNormThreads) normalize_kernel(NormArgs args) {
  __shared__ Moments partial[kNormThreads / kWarp];
  allow_next();
  wait_for_inputs();
  const int thread = threadIdx.x;
  const float* row = args.in + static_cast<std::size_t>(blockIdx.x) * args.dim;
  const Moments own =
      warp_merge(row_moments(row, args.dim, args.norm.kind, make_int2(thread, kNormThreads)));
  if (thread % kWarp == 0) {
    partial[thread / kWarp] = own;
  }
  __syncthreads();
  const int lane = thread % kWarp;
  const RowNorm norm =
      row_norm(warp_merge(lane < kNormThreads / kWarp ? partial[lane] : Moments{}), args.norm);
  T* out = static_cast<T*>(args.out) + static_cast<std::size_t>(blockIdx.x) * args.dim;
  for (int i = thread; i < args.dim; i += kNormThreads) {
    out[i] = from_float<T>(norm(row[i], args.norm, i));
  }
}

template <typename In, typename Out>
__global__ void __launch_bounds__(kFinishThreads) finish_kernel(FinishArgs args) {
  allow_next();
  wait_for_inputs();
  const bool gated = is_gated(args.activation);
  const int features = gated ? args.width / 2 : args.width;
  const std::size_t row = blockIdx.x;
  const int i = blockIdx.y * kFinishThreads + threadIdx.x;
  if (i >= features) {
    return;
  }
  const In* in = static_cast<const In*>(args.in) + row * args.width;
  float value = to_float(in[i]) + (args.bias != nullptr ? args.bias[i] : 0.0F);
  value = activate(args.activation, value);
  if (gated) {
    value *= to_float(in[i + features]) + (args.bias != nullptr ? args.bias[i + features] : 0.0F);
  }
  static_cast<Out*>(args.out)[row * features + i] = from_float<Out>(value);
}

template <typename T>
struct PlaceArgs {
  QkvPlaces<T> places;
  const T* product;
  const float* bias;
  const float* query_norm;
  const float* key_norm;
  float eps;
  int rows;
};

// Writes one head, staged in `channels`, turned to `position` when `turns`.
template <typename T>
__device__ void write_head(
    const PlaceArgs<T>& args, T* to, const float* channels, std::int32_t position, bool turns) {
  const int turned = args.places.rope.rotary_dim / 2;
  for (int i = threadIdx.x % kWarp; i < args.places.shape.head_dim; i += kWarp) {
    if (!turns || i >= 2 * turned) {
      to[i] = from_float<T>(channels[i]);
    } else if (i < turned) {
      const float2 pair = args.places.turn(position, i, {channels[i], channels[i + turned]});
      to[i] = from_float<T>(pair.x);
      to[i + turned] = from_float<T>(pair.y);
    }
  }
}

// One warp a row and head.
template <typename T>
__global__ void __launch_bounds__(kPlaceThreads) place_kernel(PlaceArgs<T> args) {
  __shared__ float staged[kPlaceThreads / kWarp][kMaxHeadDim];
  allow_next();
  wait_for_inputs();
  const HeadShape& shape = args.places.shape;
  const int lane = threadIdx.x % kWarp;
  const int all_heads = shape.heads + 2 * shape.kv_heads;
  const int index = blockIdx.x * (kPlaceThreads / kWarp) + threadIdx.x / kWarp;
  const int row = index / all_heads;
  const int head = index % all_heads;
  if (row >= args.rows) {
    return;
  }
  float* channels = staged[threadIdx.x / kWarp];
  const T* product = args.product + static_cast<std::size_t>(index) * shape.head_dim;
  float squares = 0.0F;
  for (int i = lane; i < shape.head_dim; i += kWarp) {
    const float bias = args.bias != nullptr ? args.bias[head * shape.head_dim + i] : 0.0F;
    channels[i] = to_float(product[i]) + bias;
    squares += channels[i] * channels[i];
  }
  const bool is_query = head < shape.heads;
  const bool is_value = head >= shape.heads + shape.kv_heads;
  const float* weight = is_query ? args.query_norm : args.key_norm;
  if (weight != nullptr && !is_value) {
    const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(shape.head_dim) + args.eps);
    for (int i = lane; i < shape.head_dim; i += kWarp) {
      channels[i] *= scale * weight[i];
    }
  }
  __syncwarp();
  const RowPlace place = args.places.row_place(row);
  write_head(args, args.places.head(place, row, head), channels, place.position, !is_value);
  if (is_query && args.places.sink_query != nullptr) {
    T* to = args.places.query_head(args.places.sink_query, row, head);
    write_head(args, to, channels, place.sink_position, true);
  }
}

template <typename In, typename Out>
void launch_finish(const Target& target, const FinishArgs& args) {
  const int features = is_gated(args.activation) ? args.width / 2 : args.width;
  launch(target,
         finish_kernel<In, Out>,
         {.blocks = dim3(static_cast<unsigned>(args.rows), ceil_div(features, kFinishThreads)),
          .threads = kFinishThreads},
         args);
}

}  // namespace

void normalize(const Target& target, DType compute, const NormArgs& args) {
  dispatch_element(compute, [&](auto element) {
    launch(target,
           normalize_kernel<decltype(element)>,
           {.blocks = dim3(static_cast<unsigned>(args.rows)), .threads = kNormThreads},
           args);
  });
}

void finish_product(const Target& target, const FinishArgs& args) {
  dispatch_element(args.in_dtype, [&](auto element) {
    using T = decltype(element);
    if (args.out_dtype == DType::kF32) {
      launch_finish<T, float>(target, args);
    } else {
      launch_finish<T, T>(target, args);
    }
  });
}

void place_qkv(const Target& target, DType compute, const QkvArgs& args, const void* product) {
  KVG_EXPECT(args.shape.head_dim <= kMaxHeadDim, "head_dim is at most 256");
  dispatch_element(compute, [&](auto element) {
    using T = decltype(element);
    const int rows = args.batch * args.tokens;
    const std::size_t warps = static_cast<std::size_t>(rows) *
                              static_cast<std::size_t>(args.shape.heads + 2 * args.shape.kv_heads);
    launch(target,
           place_kernel<T>,
           {.blocks = dim3(ceil_div(warps, kPlaceThreads / kWarp)), .threads = kPlaceThreads},
           PlaceArgs<T>{.places = make_places<T>(args),
                        .product = static_cast<const T*>(product),
                        .bias = args.linear.bias,
                        .query_norm = args.query_norm,
                        .key_norm = args.key_norm,
                        .eps = args.norm.eps,
                        .rows = rows});
  });
}

}  // namespace kvg::kernels
