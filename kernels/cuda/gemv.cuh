#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/ops.cuh"

// What the projections of a few rows have in common. They are bound by reading the weights once. A
// unit is the one or two weight rows whose results belong together; a block owns a contiguous
// stretch of units, so that all multiprocessors get the same share, and holds the input rows,
// normalised, in shared memory.

namespace kvg::kernels {

inline constexpr int kGemvThreads = 512;
inline constexpr int kGemvWarps = kGemvThreads / kWarp;

/// Waits for all kGemvThreads, but not for a warp beside them that copies weights.
__device__ inline void meet() {
  asm volatile("bar.sync 1, %0;" ::"n"(kGemvThreads) : "memory");
}

struct GemvArgs {
  const void* weight = nullptr;  ///< [.., length] of T
  const void* in = nullptr;      ///< [rows, length], f32 when norm.weight is set, else T
  Norm norm;
  int rows = 0;
  int length = 0;  ///< elements of a row
  int units = 0;
  int stride = 0;  ///< elements between staged rows
};

/// Elements between staged rows: room for zeros up to a multiple of 32, and 64 bytes more than a
/// multiple of 128, so that eight rows read side by side touch different banks.
constexpr int gemv_stride(int length) {
  return (length + 63) / 64 * 64 + 32;
}

/// The units of this block: first and count.
__device__ inline int2 gemv_units(const GemvArgs& args) {
  const std::int64_t units = args.units;
  const int first = static_cast<int>(units * blockIdx.x / gridDim.x);
  return make_int2(first, static_cast<int>(units * (blockIdx.x + 1) / gridDim.x) - first);
}

/// Stages the input rows in shared memory as T, zeros after their ends. A row is read once, all of
/// it at the same time: every further round trip to the second-level cache would cost as much as
/// reading a tenth of the weights.
template <typename T>
class RowStager {
 public:
  /// Reads the norm's weights, which depend on nothing.
  __device__ explicit RowStager(const GemvArgs& args)
      : args_(args), quads_(args.length % 4 == 0 ? args.length / 4 : 0) {
    if (args.norm.weight != nullptr) {
#pragma unroll
      for (int j = 0; j < kHeld; ++j) {
        const int quad = at(j);
        if (quad < quads_) {
          weight_[j] = reinterpret_cast<const float4*>(args.norm.weight)[quad];
          bias_[j] = args.norm.bias != nullptr
                         ? reinterpret_cast<const float4*>(args.norm.bias)[quad]
                         : float4{};
        }
      }
    }
  }

  /// Ends with a barrier.
  __device__ void stage(T* x) {
    if (args_.norm.weight == nullptr) {
      stage_plain(x);
    } else if (args_.rows == 1 && quads_ > 0 && quads_ <= kHeld * kGemvThreads) {
      stage_held(x);
    } else {
      stage_any(x);
    }
    for (int r = 0; r < args_.rows; ++r) {
      for (int i = args_.length + threadIdx.x; i < args_.stride; i += kGemvThreads) {
        x[r * args_.stride + i] = from_float<T>(0.0F);
      }
    }
    meet();
  }

 private:
  static constexpr int kHeld = 2;  // groups of four elements in a thread's registers

  __device__ static int at(int j) {
    return static_cast<int>(threadIdx.x) + j * kGemvThreads;
  }

  // Moments of a row from those of the warps.
  __device__ RowNorm norm_of(const Moments& own, Moments* warps) const {
    const int lane = threadIdx.x % kWarp;
    if (args_.norm.kind == NormKind::kRms) {
      // Squares of the values themselves simply add up.
      const float squares = warp_sum(own.squares);
      if (lane == 0) {
        warps[threadIdx.x / kWarp].squares = squares;
      }
      meet();
      const float all = warp_sum(lane < kGemvWarps ? warps[lane].squares : 0.0F);
      return row_norm({static_cast<float>(args_.length), 0.0F, all}, args_.norm);
    }
    const Moments mine = warp_merge(own);
    if (lane == 0) {
      warps[threadIdx.x / kWarp] = mine;
    }
    meet();
    return row_norm(warp_merge(lane < kGemvWarps ? warps[lane] : Moments{}), args_.norm);
  }

  __device__ void stage_plain(T* x) const {
    const auto* in = static_cast<const T*>(args_.in);
    constexpr int kCount = Pack<T>::kCount;
    const int packs = args_.length % kCount == 0 ? args_.length / kCount : 0;
    for (int r = 0; r < args_.rows; ++r) {
      const T* row = in + static_cast<std::size_t>(r) * args_.length;
      for (int i = threadIdx.x; i < packs; i += kGemvThreads) {
        copy_async(x + r * args_.stride + i * kCount, row + i * kCount, true);
      }
      for (int i = packs * kCount + threadIdx.x; i < args_.length; i += kGemvThreads) {
        x[r * args_.stride + i] = row[i];
      }
    }
    commit_copies();
    wait_own_copies<0>();
  }

  __device__ void stage_held(T* x) {
    __shared__ Moments warps[kGemvWarps];
    const auto* row = static_cast<const float4*>(args_.in);
    float4 held[kHeld] = {};
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (at(j) < quads_) {
        held[j] = row[at(j)];
      }
    }
    Moments own;
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (at(j) < quads_) {
        own = merge(own, moments_of(held[j]));
      }
    }
    const RowNorm norm = norm_of(own, warps);
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (at(j) < quads_) {
        T* to = x + 4 * at(j);
        to[0] = from_float<T>(norm.apply(held[j].x, weight_[j].x, bias_[j].x));
        to[1] = from_float<T>(norm.apply(held[j].y, weight_[j].y, bias_[j].y));
        to[2] = from_float<T>(norm.apply(held[j].z, weight_[j].z, bias_[j].z));
        to[3] = from_float<T>(norm.apply(held[j].w, weight_[j].w, bias_[j].w));
      }
    }
  }

  __device__ Moments moments_of(const float4& v) const {
    const float mean = args_.norm.kind == NormKind::kLayer ? (v.x + v.y + v.z + v.w) * 0.25F : 0.0F;
    const float4 d = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
    return {4.0F, mean, d.x * d.x + d.y * d.y + d.z * d.z + d.w * d.w};
  }

  __device__ void stage_any(T* x) const {
    __shared__ Moments warps[kMaxDecodeRows][kGemvWarps];
    for (int r = 0; r < args_.rows; ++r) {
      const float* row =
          static_cast<const float*>(args_.in) + static_cast<std::size_t>(r) * args_.length;
      const int2 walk = make_int2(static_cast<int>(threadIdx.x), kGemvThreads);
      const RowNorm norm = norm_of(row_moments(row, args_.length, args_.norm.kind, walk), warps[r]);
#pragma unroll 8
      for (int i = threadIdx.x; i < args_.length; i += kGemvThreads) {
        x[r * args_.stride + i] = from_float<T>(norm(row[i], args_.norm, i));
      }
    }
  }

  const GemvArgs& args_;
  int quads_;
  float4 weight_[kHeld] = {};
  float4 bias_[kHeld] = {};
};

}  // namespace kvg::kernels
