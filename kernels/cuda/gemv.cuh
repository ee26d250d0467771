#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/ops.cuh"

// Projections of a few rows: bound by reading the weights once. A block owns a contiguous stretch
// of units (a unit is the one or two weight rows whose results belong together), so all
// multiprocessors get the same share. A warp takes one part of a unit at a time; its lanes copy 16
// bytes each into a ring in shared memory, several steps ahead and across parts, so that loads
// never pause. A lane reads only what it copied itself: the ring needs no barrier. The first steps
// are under way before the kernel in front has ended, as weights depend on nothing. Meanwhile the
// block stages the input rows, normalised. The results meet in shared memory and the block finishes
// them together: one exposed latency a kernel for bias, RoPE or residual.

namespace kvg::kernels {

inline constexpr int kGemvThreads = 512;
inline constexpr int kGemvWarps = kGemvThreads / kWarp;
inline constexpr int kGemvBlocksPerProcessor = 1;
inline constexpr int kGemvStages = 4;
inline constexpr int kGemvStagePacks = 2;  ///< 16-byte copies of a lane in a stage
inline constexpr std::size_t kGemvRingBytes =
    std::size_t{16} * kGemvThreads * kGemvStages * kGemvStagePacks;
inline constexpr std::size_t kGemvSumBytes = 16 * 1024;
inline constexpr int kCacheLine = 128;

struct GemvArgs {
  const void* weight = nullptr;  ///< [.., in] of T
  const void* in = nullptr;      ///< [rows, in], f32 when norm.weight is set, else T
  Norm norm;
  int rows = 0;
  int length = 0;  ///< elements of a row
  int units = 0;
  int splits = 1;        ///< parts of a unit
  int stride = 0;        ///< elements between staged rows
  bool vectors = false;  ///< rows start at multiples of 16 bytes
};

constexpr int gemv_stride(int length) {
  return (length + 7) / 8 * 8;
}

/// The elements [begin, end) of every row of a unit, in steps that a lane can load at once.
struct GemvPart {
  int unit = 0;
  int begin = 0;
  int end = 0;
};

template <typename T>
__device__ inline GemvPart gemv_part(const GemvArgs& args, int first_unit, int part) {
  const int step = args.vectors ? Pack<T>::kCount : 1;
  const int steps = args.length / step;
  const int split = part % args.splits;
  return {first_unit + part / args.splits,
          static_cast<int>(static_cast<std::int64_t>(steps) * split / args.splits) * step,
          static_cast<int>(static_cast<std::int64_t>(steps) * (split + 1) / args.splits) * step};
}

/// The rows of weights that a part reads.
template <typename T, typename Epilogue>
struct GemvRows {
  const T* at[Epilogue::kWidth];

  __device__ GemvRows(const GemvArgs& args, const Epilogue& epilogue, int unit) {
#pragma unroll
    for (int which = 0; which < Epilogue::kWidth; ++which) {
      at[which] = static_cast<const T*>(args.weight) +
                  static_cast<std::size_t>(epilogue.row(unit, which)) * args.length;
    }
  }
};

/// One warp's weights on their way through the ring.
template <typename T, typename Epilogue>
class GemvRing {
 public:
  static constexpr int kPerRow = kGemvStagePacks / Epilogue::kWidth;
  static constexpr int kStep = kWarp * kPerRow * Pack<T>::kCount;  // elements of a row in a stage

  __device__ GemvRing(const GemvArgs& args, const Epilogue& epilogue, Pack<T>* ring, int2 units)
      : args_(args),
        epilogue_(epilogue),
        slots_(ring + threadIdx.x / kWarp * kGemvStages * kGemvStagePacks * kWarp +
               threadIdx.x % kWarp),
        first_unit_(units.x),
        parts_(units.y * args.splits),
        next_(threadIdx.x / kWarp),
        part_(gemv_part<T>(args, units.x, next_)),
        rows_(args, epilogue, next_ < parts_ ? part_.unit : units.x),
        at_(part_.begin) {}

  /// Starts the copies of the next step, if there is one; always commits a group.
  __device__ void issue() {
    if (next_ < parts_) {
#pragma unroll
      for (int u = 0; u < kPerRow; ++u) {
        const int from =
            at_ + (u * kWarp + static_cast<int>(threadIdx.x) % kWarp) * Pack<T>::kCount;
        if (from < part_.end) {
#pragma unroll
          for (int which = 0; which < Epilogue::kWidth; ++which) {
            copy_async(
                reinterpret_cast<T*>(slot(filling_, u, which)), rows_.at[which] + from, true);
          }
        }
      }
      at_ += kStep;
      if (at_ >= part_.end) {
        next_part();
      }
    }
    filling_ = (filling_ + 1) % kGemvStages;
    commit_copies();
  }

  /// Where the oldest step's packs of this lane are.
  __device__ const Pack<T>& packed(int u, int which) const {
    return *slot(reading_, u, which);
  }
  __device__ void release() {
    reading_ = (reading_ + 1) % kGemvStages;
  }

 private:
  __device__ Pack<T>* slot(int stage, int u, int which) const {
    return slots_ + (stage * kGemvStagePacks + u * Epilogue::kWidth + which) * kWarp;
  }

  __device__ void next_part() {
    next_ += kGemvWarps;
    if (next_ < parts_) {
      part_ = gemv_part<T>(args_, first_unit_, next_);
      rows_ = GemvRows<T, Epilogue>(args_, epilogue_, part_.unit);
      at_ = part_.begin;
    }
  }

  const GemvArgs& args_;
  const Epilogue& epilogue_;
  Pack<T>* slots_;
  int first_unit_;
  int parts_;
  int next_;
  GemvPart part_;
  GemvRows<T, Epilogue> rows_;
  int at_;
  int filling_ = 0;
  int reading_ = 0;
};

/// Brings the norm's weights near before the input is there.
__device__ inline void prefetch_norm(const GemvArgs& args) {
  constexpr int kLine = kCacheLine / sizeof(float);
  for (int i = threadIdx.x * kLine; args.norm.weight != nullptr && i < args.length;
       i += kGemvThreads * kLine) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(args.norm.weight + i));
    if (args.norm.bias != nullptr) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(args.norm.bias + i));
    }
  }
}

/// Stages the input rows in `x`, and zeros for the rows that only fill up the template.
template <typename T, int Rows>
__device__ inline void stage_rows(const GemvArgs& args, T* x) {
  __shared__ Moments partial[Rows][kGemvWarps];
  const int thread = threadIdx.x;
  const auto* plain = static_cast<const T*>(args.in);
  const auto* residual = static_cast<const float*>(args.in);
  const bool normed = args.norm.weight != nullptr;
  if (normed) {
    for (int r = 0; r < args.rows; ++r) {
      const float* row = residual + static_cast<std::size_t>(r) * args.length;
      const Moments own =
          row_moments(row, args.length, args.norm.kind, make_int2(thread, kGemvThreads));
      if (thread % kWarp == 0) {
        partial[r][thread / kWarp] = own;
      }
    }
    __syncthreads();
  }
  for (int r = 0; r < Rows; ++r) {
    RowNorm norm;
    if (normed && r < args.rows) {
      norm =
          row_norm(warp_merge(thread % kWarp < kGemvWarps ? partial[r][thread % kWarp] : Moments{}),
                   args.norm);
    }
    const std::size_t start = static_cast<std::size_t>(r) * args.length;
#pragma unroll 4
    for (int i = thread; i < args.length; i += kGemvThreads) {
      if (r >= args.rows) {
        x[r * args.stride + i] = from_float<T>(0.0F);
      } else if (normed) {
        x[r * args.stride + i] = from_float<T>(norm(residual[start + i], args.norm, i));
      } else {
        x[r * args.stride + i] = plain[start + i];
      }
    }
  }
  __syncthreads();
}

/// One lane's share of the products of a part with the staged rows, weights from the ring.
template <typename T, int Rows, typename Epilogue>
__device__ inline void dot_ring(GemvRing<T, Epilogue>& ring,
                                const T* x,
                                const GemvPart& part,
                                int stride,
                                float (&sums)[Epilogue::kWidth][Rows]) {
  using Ring = GemvRing<T, Epilogue>;
  constexpr int kWidth = Epilogue::kWidth;
  constexpr int kCount = Pack<T>::kCount;
  const int lane_at = static_cast<int>(threadIdx.x) % kWarp * kCount;
  for (int at = part.begin; at < part.end; at += Ring::kStep) {
    wait_own_copies<kGemvStages - 2>();
#pragma unroll
    for (int u = 0; u < Ring::kPerRow; ++u) {
      const int from = at + u * kWarp * kCount + lane_at;
      if (from < part.end) {
        float read[kWidth][kCount];
#pragma unroll
        for (int which = 0; which < kWidth; ++which) {
          widen(ring.packed(u, which), read[which]);
        }
#pragma unroll
        for (int r = 0; r < Rows; ++r) {
          float staged[kCount];
          widen(load_pack(x + r * stride + from), staged);
#pragma unroll
          for (int which = 0; which < kWidth; ++which) {
#pragma unroll
            for (int i = 0; i < kCount; ++i) {
              sums[which][r] = fmaf(read[which][i], staged[i], sums[which][r]);
            }
          }
        }
      }
    }
    ring.release();
    ring.issue();
  }
}

/// The same for rows that do not start at multiples of 16 bytes, straight from memory.
template <typename T, int Rows, typename Epilogue>
__device__ inline void dot_elements(const GemvRows<T, Epilogue>& weight,
                                    const T* x,
                                    const GemvPart& part,
                                    int stride,
                                    float (&sums)[Epilogue::kWidth][Rows]) {
  for (int i = part.begin + static_cast<int>(threadIdx.x) % kWarp; i < part.end; i += kWarp) {
#pragma unroll
    for (int which = 0; which < Epilogue::kWidth; ++which) {
      const float value = to_float(weight.at[which][i]);
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        sums[which][r] = fmaf(value, to_float(x[r * stride + i]), sums[which][r]);
      }
    }
  }
}

/// An Epilogue has kWidth, the weight rows of a unit; row(unit, which), their indices; and
/// finish(unit, input row, sums), called once for each.
template <typename T, int Rows, typename Epilogue>
__global__ void __launch_bounds__(kGemvThreads, Rows <= 2 ? 2 : 1)
    gemv_kernel(GemvArgs args, Epilogue epilogue) {
  constexpr int kWidth = Epilogue::kWidth;
  extern __shared__ __align__(16) unsigned char shared[];
  T* x = reinterpret_cast<T*>(shared + kGemvRingBytes);
  float* results =
      reinterpret_cast<float*>(shared + kGemvRingBytes + Rows * args.stride * sizeof(T));
  const std::int64_t units = args.units;
  const int first = static_cast<int>(units * blockIdx.x / gridDim.x);
  const int count = static_cast<int>(units * (blockIdx.x + 1) / gridDim.x) - first;
  const int parts = count * args.splits;

  allow_next();
  GemvRing<T, Epilogue> ring(
      args, epilogue, reinterpret_cast<Pack<T>*>(shared), make_int2(first, count));
  if (args.vectors) {
#pragma unroll
    for (int stage = 0; stage < kGemvStages - 1; ++stage) {
      ring.issue();
    }
  }
  prefetch_norm(args);
  wait_for_inputs();
  stage_rows<T, Rows>(args, x);
  for (int p = threadIdx.x / kWarp; p < parts; p += kGemvWarps) {
    const GemvPart part = gemv_part<T>(args, first, p);
    float sums[kWidth][Rows] = {};
    if (args.vectors) {
      dot_ring<T, Rows>(ring, x, part, args.stride, sums);
    } else {
      const GemvRows<T, Epilogue> rows(args, epilogue, part.unit);
      dot_elements<T, Rows>(rows, x, part, args.stride, sums);
    }
#pragma unroll
    for (int which = 0; which < kWidth; ++which) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        const float sum = warp_sum(sums[which][r]);
        if (threadIdx.x % kWarp == 0) {
          results[(p * kWidth + which) * Rows + r] = sum;
        }
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count * args.rows; i += kGemvThreads) {
    const int unit = i % count;
    float sums[kWidth] = {};
    for (int split = 0; split < args.splits; ++split) {
#pragma unroll
      for (int which = 0; which < kWidth; ++which) {
        sums[which] += results[((unit * args.splits + split) * kWidth + which) * Rows + i / count];
      }
    }
    epilogue.finish(first + unit, i / count, sums);
  }
}

/// Splits units until a block has a few parts for every warp, but leaves parts long enough to keep
/// several loads of a lane in flight.
inline int gemv_splits(int units_per_block, std::size_t row_bytes) {
  constexpr int kEnoughParts = 4 * kGemvWarps;
  constexpr std::size_t kShortestPart = 2048;
  int splits = 1;
  while (units_per_block * splits < kEnoughParts && row_bytes / (2 * splits) >= kShortestPart) {
    splits *= 2;
  }
  return splits;
}

template <typename T, int Rows, typename Epilogue>
void launch_gemv(const Target& target, GemvArgs args, const Epilogue& epilogue) {
  const unsigned wanted = static_cast<unsigned>(kGemvBlocksPerProcessor * target.multiprocessors);
  const std::size_t row_bytes = static_cast<std::size_t>(args.length) * sizeof(T);
  args.stride = gemv_stride(args.length);
  args.vectors = row_bytes % 16 == 0 && is_aligned(args.weight, 16);
  args.splits = gemv_splits(static_cast<int>(ceil_div(args.units, wanted)), row_bytes);
  const std::size_t unit_bytes = sizeof(float) * args.splits * Epilogue::kWidth * Rows;
  const unsigned blocks =
      std::min(static_cast<unsigned>(args.units),
               std::max(wanted, ceil_div(args.units, kGemvSumBytes / unit_bytes)));
  const std::size_t shared_bytes = kGemvRingBytes +
                                   Rows * sizeof(T) * static_cast<std::size_t>(args.stride) +
                                   unit_bytes * ceil_div(args.units, blocks);
  launch(target,
         gemv_kernel<T, Rows, Epilogue>,
         {.blocks = dim3(blocks), .threads = kGemvThreads, .shared_bytes = shared_bytes},
         args,
         epilogue);
}

template <typename T, typename Epilogue>
void launch_gemv(const Target& target, const GemvArgs& args, const Epilogue& epilogue) {
  if (args.rows == 1) {
    launch_gemv<T, 1>(target, args, epilogue);
  } else if (args.rows == 2) {
    launch_gemv<T, 2>(target, args, epilogue);
  } else if (args.rows <= 4) {
    launch_gemv<T, 4>(target, args, epilogue);
  } else {
    launch_gemv<T, 8>(target, args, epilogue);
  }
}

}  // namespace kvg::kernels
