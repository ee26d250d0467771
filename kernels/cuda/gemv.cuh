#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/posts.cuh"

// What the projections of a few rows have in common. They are bound by reading the weights once. A
// unit is the one or two weight rows whose results belong together; a block owns a contiguous
// stretch of units, so that all multiprocessors get the same share, and holds the input rows,
// normalised, in shared memory.

namespace kvg::kernels {

inline constexpr int kGemvThreads = 256;
inline constexpr int kGemvWarps = kGemvThreads / kWarp;
static_assert(kMaxDecodeRows <= kGemvWarps, "a warp normalises a row");

/// Waits for all kGemvThreads, but not for a warp beside them that copies weights.
__device__ inline void meet() {
  asm volatile("bar.sync 1, %0;" ::"n"(kGemvThreads) : "memory");
}

/// How blocks share units: evenly, but for some blocks in a row that have one more.
struct UnitShare {
  int each = 0;
  int more = 0;       ///< blocks that have one more
  int more_from = 0;  ///< the first of them

  UnitShare() = default;
  UnitShare(int units, int blocks, bool last_take_more)
      : each(units / blocks),
        more(units % blocks),
        more_from(last_take_more ? blocks - units % blocks : 0) {}

  [[nodiscard]] __device__ bool has_more() const {
    const int past = static_cast<int>(blockIdx.x) - more_from;
    return past >= 0 && past < more;
  }
  /// The units of this block.
  [[nodiscard]] __device__ int count() const { return each + (has_more() ? 1 : 0); }
  /// The first of them.
  [[nodiscard]] __device__ int first() const {
    const auto block = static_cast<int>(blockIdx.x);
    return block * each + min(max(block - more_from, 0), more);
  }
};

struct GemvArgs {
  const void* weight = nullptr;  ///< [.., length] of T
  const void* in = nullptr;      ///< [rows, length], f32 when norm.weight is set, else T
  Norm norm;
  int rows = 0;
  int length = 0;  ///< elements of a row
  int units = 0;
  int stride = 0;               ///< elements between staged rows
  bool last_take_more = false;  ///< units that blocks cannot share evenly: the last ones have them
  UnitShare share = UnitShare();
};

/// Elements between staged rows: room for zeros up to a multiple of 64, and 64 bytes more than a
/// multiple of 128, so that eight rows read side by side touch different banks.
constexpr int gemv_stride(int length) {
  return (length + 63) / 64 * 64 + 32;
}

/// By a warp of every block, together: brings the norm's weights near, which depend on nothing.
__device__ inline void prefetch_norm(const GemvArgs& args) {
  constexpr int kLineFloats = 32;
  const int lines = (args.length + kLineFloats - 1) / kLineFloats;
  const auto first = static_cast<int>(blockIdx.x * kWarp + threadIdx.x % kWarp);
  for (const float* row : {args.norm.weight, args.norm.bias}) {
    for (int line = first; row != nullptr && line < lines; line += gridDim.x * kWarp) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(row + line * kLineFloats));
    }
  }
}

/// Sums of a block's warps, as a RowStager declares them in shared memory once.
using RowSums = float[2][kGemvWarps];

/// Stages the input rows in shared memory as T, zeros after their ends. One row is read once, all
/// of it at the same time: every further round trip to the second-level cache would cost as much as
/// reading a tenth of the weights. Of several rows each is a warp's.
template <typename T>
class RowStager {
 public:
  /// `posts`: where other blocks leave the rows as they are done with them; null: they are there.
  __device__ explicit RowStager(const GemvArgs& args, const void* posts = nullptr)
      : args_(args),
        in_(posts != nullptr ? posts : args.in),
        awaits_(posts != nullptr),
        quads_(args.length % 4 == 0 ? args.length / 4 : 0) {}

  /// Ends with a barrier.
  __device__ void stage(T* x) {
    // As much as registers take beside what else is held.
    constexpr int kOfRms = 4 * 4 * kGemvThreads;
    constexpr int kOfLayer = 4 * 3 * kGemvThreads;
    const bool layer = args_.norm.kind == NormKind::kLayer;
    if (args_.norm.weight == nullptr && awaits_) {
      stage_posts(x);
    } else if (args_.norm.weight == nullptr) {
      stage_plain(x);
    } else if (args_.rows > 1 || quads_ == 0 || args_.length > (layer ? kOfLayer : kOfRms)) {
      stage_any(x);
    } else if (layer) {
      stage_held<3, true>(x);
    } else {
      stage_held<4, false>(x);
    }
    const int end = (args_.length + 63) / 64 * 64;
    for (int r = 0; r < args_.rows; ++r) {
      for (int i = args_.length + thread(); i < end; i += kGemvThreads) {
        x[r * args_.stride + i] = from_float<T>(0.0F);
      }
    }
    meet();
  }

 private:
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ static RowSums& row_sums() {
    __shared__ RowSums warps;
    return warps;
  }

  template <int Held>
  __device__ void load_held(const void* row, float4 (&held)[Held]) const {
#pragma unroll
    for (int j = 0; j < Held; ++j) {
      const int quad = thread() + j * kGemvThreads;
      held[j] = quad < quads_ ? static_cast<const float4*>(row)[quad] : float4{};
    }
  }

  // Of an input row, which may still be on its way.
  template <int Held>
  __device__ void load_in(const float* row, int first, int step, float4 (&held)[Held]) const {
    const auto* quads = reinterpret_cast<const uint4*>(row);
    uint4 packs[Held];
    if (awaits_) {
      await_packs<float>(quads, {first, step, quads_}, packs);
    } else {
#pragma unroll
      for (int j = 0; j < Held; ++j) {
        const int quad = first + j * step;
        packs[j] = quad < quads_ ? quads[quad] : uint4{};
      }
    }
#pragma unroll
    for (int j = 0; j < Held; ++j) {
      held[j] = {__uint_as_float(packs[j].x),
                 __uint_as_float(packs[j].y),
                 __uint_as_float(packs[j].z),
                 __uint_as_float(packs[j].w)};
    }
  }

  // Rows of T that are on their way: whole packs.
  __device__ void stage_posts(T* x) const {
    constexpr int kHeld = 8;
    constexpr int kCount = Pack<T>::kCount;
    const int packs = args_.length / kCount;
    for (int r = 0; r < args_.rows; ++r) {
      const auto* row = reinterpret_cast<const uint4*>(static_cast<const T*>(in_) +
                                                       static_cast<std::size_t>(r) * args_.length);
      auto* to = reinterpret_cast<uint4*>(x + r * args_.stride);
      for (int first = thread(); first < packs; first += kHeld * kGemvThreads) {
        uint4 held[kHeld];
        await_packs<T>(row, {first, kGemvThreads, packs}, held);
#pragma unroll
        for (int j = 0; j < kHeld; ++j) {
          const int pack = first + j * kGemvThreads;
          if (pack < packs) {
            to[pack] = held[j];
          }
        }
      }
    }
  }

  __device__ void stage_plain(T* x) const {
    const auto* in = static_cast<const T*>(in_);
    constexpr int kCount = Pack<T>::kCount;
    const int packs = args_.length % kCount == 0 ? args_.length / kCount : 0;
    for (int r = 0; r < args_.rows; ++r) {
      const T* row = in + static_cast<std::size_t>(r) * args_.length;
#pragma unroll 4
      for (int i = thread(); i < packs; i += kGemvThreads) {
        copy_async(x + r * args_.stride + i * kCount, row + i * kCount, true);
      }
      for (int i = packs * kCount + thread(); i < args_.length; i += kGemvThreads) {
        x[r * args_.stride + i] = row[i];
      }
    }
    commit_copies();
    wait_own_copies<0>();
  }

  // One row: `Held` groups of four elements a thread. Deviations from the mean, which a root mean
  // square does without, are taken from the values themselves: nothing cancels.
  template <int Held, bool Layer>
  __device__ void stage_held(T* x) const {
    RowSums& warps = row_sums();
    float4 held[Held];
    float4 weight[Held];
    float4 bias[Held] = {};
    load_held(args_.norm.weight, weight);
    if (Layer && args_.norm.bias != nullptr) {
      load_held(args_.norm.bias, bias);
    }
    load_in(static_cast<const float*>(in_), thread(), kGemvThreads, held);
    RowNorm norm;
    const auto length = static_cast<float>(args_.length);
    if constexpr (Layer) {
      float sum = 0.0F;
#pragma unroll
      for (int j = 0; j < Held; ++j) {
        sum += held[j].x + held[j].y + (held[j].z + held[j].w);
      }
      norm.mean = block_sum(sum, warps[0]) / length;
    }
    float squares = 0.0F;
#pragma unroll
    for (int j = 0; j < Held; ++j) {
      if (thread() + j * kGemvThreads < quads_) {
        squares += squares_of(held[j], norm.mean);
      }
    }
    norm.scale = rsqrtf(block_sum(squares, warps[1]) / length + args_.norm.eps);
#pragma unroll
    for (int j = 0; j < Held; ++j) {
      const int quad = thread() + j * kGemvThreads;
      if (quad < quads_) {
        put_quad(x + 4 * quad,
                 norm.apply(held[j].x, weight[j].x, bias[j].x),
                 norm.apply(held[j].y, weight[j].y, bias[j].y),
                 norm.apply(held[j].z, weight[j].z, bias[j].z),
                 norm.apply(held[j].w, weight[j].w, bias[j].w));
      }
    }
  }

  __device__ static float squares_of(const float4& v, float mean) {
    const float4 d = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
    return d.x * d.x + d.y * d.y + (d.z * d.z + d.w * d.w);
  }

  __device__ static void put_quad(T* to, float a, float b, float c, float d) {
    struct alignas(4 * sizeof(T)) Quad {
      T elements[4];
    };
    *reinterpret_cast<Quad*>(to) = {
        from_float<T>(a), from_float<T>(b), from_float<T>(c), from_float<T>(d)};
  }

  // Of all threads' values; every thread gets it. `warps` is used once between two meetings.
  __device__ static float block_sum(float value, float* warps) {
    value = warp_sum(value);
    if (thread() % kWarp == 0) {
      warps[thread() / kWarp] = value;
    }
    meet();
    float sum = warps[thread() % kGemvWarps];
#pragma unroll
    for (int step = kGemvWarps / 2; step > 0; step /= 2) {
      sum += __shfl_xor_sync(kAllLanes, sum, step);
    }
    return sum;
  }

  // One row by all threads, of several a row by a warp.
  __device__ void stage_any(T* x) const {
    RowSums& warps = row_sums();
    const bool alone = args_.rows == 1;
    const int row = alone ? 0 : thread() / kWarp;
    if (row >= args_.rows) {
      return;
    }
    const float* in = static_cast<const float*>(in_) + static_cast<std::size_t>(row) * args_.length;
    const int first = alone ? thread() : thread() % kWarp;
    const int step = alone ? kGemvThreads : kWarp;
    const auto sum_of = [&](float value, float* room) {
      return alone ? block_sum(value, room) : warp_sum(value);
    };
    RowNorm norm;
    const auto length = static_cast<float>(args_.length);
    if (args_.norm.kind == NormKind::kLayer) {
      float sum = 0.0F;
      for_each(in, first, step, [&](int, float value) { sum += value; });
      norm.mean = sum_of(sum, warps[0]) / length;
    }
    float squares = 0.0F;
    for_each(in, first, step, [&](int, float value) {
      squares += (value - norm.mean) * (value - norm.mean);
    });
    norm.scale = rsqrtf(sum_of(squares, warps[1]) / length + args_.norm.eps);
    T* to = x + row * args_.stride;
    for_each(in, first, step, [&](int i, float value) {
      to[i] = from_float<T>(norm(value, args_.norm, i));
    });
  }

  // Elements of a row, several loads at a time.
  template <typename Use>
  __device__ void for_each(const float* row, int first, int step, Use&& use) const {
    constexpr int kHeld = 4;
    for (int quad = first; quad < quads_; quad += kHeld * step) {
      float4 held[kHeld];
      load_in(row, quad, step, held);
#pragma unroll
      for (int j = 0; j < kHeld; ++j) {
        const int at = 4 * (quad + j * step);
        if (at < args_.length) {
          use(at, held[j].x);
          use(at + 1, held[j].y);
          use(at + 2, held[j].z);
          use(at + 3, held[j].w);
        }
      }
    }
    for (int i = 4 * quads_ + first; i < args_.length; i += step) {
      use(i, row[i]);
    }
  }

  const GemvArgs& args_;
  const void* in_;
  bool awaits_;
  int quads_;
};

}  // namespace kvg::kernels
