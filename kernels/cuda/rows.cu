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

/// `Width` neighbouring elements, read or written at once.
template <int Width, typename T>
__device__ inline void load_some(const T* from, float (&out)[Width]) {
  if constexpr (Width == 1) {
    out[0] = to_float(*from);
  } else if constexpr (Width == Pack<T>::kCount) {
    widen(load_pack(from), out);
  } else {
    static_assert(sizeof(T) == 4);
#pragma unroll
    for (int i = 0; i < Width; i += 4) {
      const auto four = *reinterpret_cast<const float4*>(from + i);
      out[i] = four.x;
      out[i + 1] = four.y;
      out[i + 2] = four.z;
      out[i + 3] = four.w;
    }
  }
}

template <int Width, typename T>
__device__ inline void store_some(T* to, const float (&values)[Width]) {
  struct alignas(sizeof(T) * Width) Some {
    T elements[Width];
  };
  Some some;
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    some.elements[i] = from_float<T>(values[i]);
  }
  *reinterpret_cast<Some*>(to) = some;
}

template <int Width>
__device__ inline Moments moments_of(const float (&x)[Width], NormKind kind) {
  Moments of{static_cast<float>(Width), 0.0F, 0.0F};
  if (kind == NormKind::kLayer) {
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      of.mean += x[i] / static_cast<float>(Width);
    }
  }
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    of.squares += (x[i] - of.mean) * (x[i] - of.mean);
  }
  return of;
}

template <typename T, int Width>
__global__ void __launch_bounds__(kNormThreads) normalize_kernel(NormArgs args) {
  __shared__ Moments partial[kNormThreads / kWarp];
  allow_next();
  wait_for_inputs();
  const int thread = threadIdx.x;
  const float* row = args.in + static_cast<std::size_t>(blockIdx.x) * args.dim;
  Moments own;
  for (int i = thread * Width; i < args.dim; i += kNormThreads * Width) {
    float x[Width];
    load_some(row + i, x);
    own = merge(own, moments_of(x, args.norm.kind));
  }
  own = warp_merge(own);
  if (thread % kWarp == 0) {
    partial[thread / kWarp] = own;
  }
  __syncthreads();
  const int lane = thread % kWarp;
  const RowNorm norm =
      row_norm(warp_merge(lane < kNormThreads / kWarp ? partial[lane] : Moments{}), args.norm);
  T* out = static_cast<T*>(args.out) + static_cast<std::size_t>(blockIdx.x) * args.dim;
  for (int i = thread * Width; i < args.dim; i += kNormThreads * Width) {
    float x[Width];
    load_some(row + i, x);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      x[j] = norm(x[j], args.norm, i + j);
    }
    store_some(out + i, x);
  }
}

template <typename In, typename Out, int Width>
__global__ void __launch_bounds__(kFinishThreads) finish_kernel(FinishArgs args) {
  allow_next();
  wait_for_inputs();
  const bool gated = is_gated(args.activation);
  const int features = gated ? args.width / 2 : args.width;
  const std::size_t row = blockIdx.x;
  const int i = static_cast<int>(blockIdx.y * kFinishThreads + threadIdx.x) * Width;
  if (i >= features) {
    return;
  }
  const In* in = static_cast<const In*>(args.in) + row * args.width + i;
  float values[Width];
  load_some(in, values);
#pragma unroll
  for (int j = 0; j < Width; ++j) {
    values[j] =
        activate(args.activation, values[j] + (args.bias != nullptr ? args.bias[i + j] : 0.0F));
  }
  if (gated) {
    float factors[Width];
    load_some(in + features, factors);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      values[j] *= factors[j] + (args.bias != nullptr ? args.bias[i + features + j] : 0.0F);
    }
  }
  store_some(static_cast<Out*>(args.out) + row * features + i, values);
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
      const float2 pair =
          turned_by(args.places.angle(position, i), {channels[i], channels[i + turned]});
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

template <typename In, typename Out, int Width>
void launch_finish_width(const Target& target, const FinishArgs& args, int features) {
  launch(target,
         finish_kernel<In, Out, Width>,
         {.blocks = dim3(static_cast<unsigned>(args.rows),
                         ceil_div(static_cast<std::size_t>(features), kFinishThreads * Width)),
          .threads = kFinishThreads},
         args);
}

template <typename In, typename Out>
void launch_finish(const Target& target, const FinishArgs& args) {
  const int features = is_gated(args.activation) ? args.width / 2 : args.width;
  constexpr int kWidth = Pack<In>::kCount;
  if (features % kWidth == 0) {
    launch_finish_width<In, Out, kWidth>(target, args, features);
  } else {
    launch_finish_width<In, Out, 1>(target, args, features);
  }
}

template <typename T, int Width>
void launch_normalize(const Target& target, const NormArgs& args) {
  launch(target,
         normalize_kernel<T, Width>,
         {.blocks = dim3(static_cast<unsigned>(args.rows)), .threads = kNormThreads},
         args);
}

}  // namespace

void normalize(const Target& target, DType compute, const NormArgs& args) {
  dispatch_element(compute, [&](auto element) {
    if (args.dim % 4 == 0) {
      launch_normalize<decltype(element), 4>(target, args);
    } else {
      launch_normalize<decltype(element), 1>(target, args);
    }
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
