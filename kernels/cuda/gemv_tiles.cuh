#pragma once

#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/mma.cuh"

// Projections of a few rows for 16-bit weights. A tile is 16 weight rows, multiplied on the matrix
// units, which take eight input rows for the price of one and leave the instruction slots free;
// each warp has its share of the columns.
//
// The order of columns within a product is free, so a lane takes 16 neighbouring bytes of two
// weight rows and of an input row, and no fragment is ever shuffled. A warp copies its share into
// a ring in shared memory, whole 128-byte lines, several steps ahead and across tiles. The first
// steps are under way before the kernel in front has ended, as weights depend on nothing.

namespace kvg::kernels {

inline constexpr int kTileRows = 16;
inline constexpr int kTileColumns = 64;  // of a step: one line of every row
inline constexpr int kLinePacks = 8;     // 16-byte pieces of a line
inline constexpr int kStagePacks = kTileRows * kLinePacks;
inline constexpr int kMostStages = 7;
/// Fewer than so many do not keep the memory busy, whatever else a multiprocessor has to do.
inline constexpr int kFewStages = 4;
inline constexpr std::size_t kStageBytes = std::size_t{16} * kStagePacks * kGemvWarps;
inline constexpr std::size_t kTileSumBytes = sizeof(float) * kTileRows * kGemvWarps;
inline constexpr std::size_t kRoundBytes = kMaxDecodeRows * kTileSumBytes;

/// Tiles whose sums are held at once.
constexpr int round_tiles(int rows) {
  return static_cast<int>(kRoundBytes / kTileSumBytes) / rows;
}

/// How a block's units fall into tiles, evenly.
template <int Width>
struct Tiles {
  static constexpr int kUnits = kTileRows / Width;  // most units of a tile

  int first;
  int units;
  int count;

  __host__ __device__ Tiles(int first_unit, int unit_count)
      : first(first_unit), units(unit_count), count((unit_count + kUnits - 1) / kUnits) {}

  // First unit of a tile, counted from the block's first.
  __device__ int begin(int tile) const { return units * tile / count; }
};

/// One warp's weights on their way through the ring.
template <typename T, typename Epilogue>
class TileRing {
 public:
  __device__ TileRing(const GemvArgs& args, const Epilogue& epilogue, Pack<T>* ring)
      : args_(args),
        epilogue_(epilogue),
        slots_(ring + threadIdx.x / kWarp * args.stages * kStagePacks),
        tiles_(gemv_units(args).x, gemv_units(args).y) {
    if (begin() >= args.length) {
      tile_ = tiles_.count;
    }
    find_rows();
  }

  /// This warp's first column. Its next step is kSpread further, so that the warps together read
  /// each row from its beginning to its end.
  [[nodiscard]] __device__ static int begin() {
    return static_cast<int>(threadIdx.x) / kWarp * kTileColumns;
  }
  static constexpr int kSpread = kGemvWarps * kTileColumns;
  [[nodiscard]] __device__ const Tiles<Epilogue::kWidth>& tiles() const { return tiles_; }

  /// Starts the copies of the next step, if there is one; always commits a group.
  __device__ void issue() {
    if (tile_ < tiles_.count) {
      const int piece = static_cast<int>(threadIdx.x) % kLinePacks;
      const int column = at_ + piece * Pack<T>::kCount;
      const bool inside = column < args_.length;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        Pack<T>* to = slots_ + filling_ * kStagePacks + place(copied_row(i), piece);
        copy_async(reinterpret_cast<T*>(to),
                   inside ? rows_[i] + column : rows_[i],
                   inside && (present_ >> i & 1) != 0);
      }
      at_ += kSpread;
      if (at_ >= args_.length) {
        ++tile_;
        find_rows();
        if (tile_ >= tiles_.count) {
          // All is on its way. Blocks of the next kernel that came earlier would only share in the
          // bandwidth; now they keep the memory busy while this one ends.
          allow_next();
        }
      }
    }
    filling_ = filling_ + 1 < args_.stages ? filling_ + 1 : 0;
    commit_copies();
  }

  /// Waits for the warp's copies of the oldest step. Every lane is then done with the step before,
  /// whose place issue() fills next.
  __device__ void wait() const {
    wait_all_but(args_.stages - 2);
    __syncwarp();
  }
  /// 16 bytes of the oldest step.
  [[nodiscard]] __device__ const Pack<T>& packed(int row, int piece) const {
    return slots_[reading_ * kStagePacks + place(row, piece)];
  }
  __device__ void release() {
    reading_ = reading_ + 1 < args_.stages ? reading_ + 1 : 0;
  }

 private:
  static constexpr int kCopies = kStagePacks / kWarp;

  // The number has to be known to the compiler.
  template <int Pending = kMostStages - 2>
  __device__ static void wait_all_but(int pending) {
    if constexpr (Pending > 0) {
      if (pending < Pending) {
        wait_all_but<Pending - 1>(pending);
        return;
      }
    }
    wait_own_copies<Pending>();
  }

  // Rows that differ by one lie in different halves of the banks.
  __device__ static int place(int row, int piece) {
    return row * kLinePacks + (piece ^ (row % 2 * (kLinePacks / 2)));
  }
  __device__ static int copied_row(int i) {
    return i * (kTileRows / kCopies) + static_cast<int>(threadIdx.x) % kWarp / kLinePacks;
  }

  // The weight rows of the next tile that this lane copies.
  __device__ void find_rows() {
    at_ = begin();
    if (tile_ >= tiles_.count) {
      return;
    }
    const int unit = tiles_.begin(tile_);
    const int last = tiles_.begin(tile_ + 1);
    present_ = 0;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      constexpr int kUnits = Tiles<Epilogue::kWidth>::kUnits;
      const int own = unit + copied_row(i) % kUnits;
      const bool present = own < last;
      present_ |= present ? 1U << i : 0U;
      // A tile may be empty at the end of the matrix; nothing is read for it.
      const int safe = present ? tiles_.first + own : tiles_.first;
      rows_[i] =
          static_cast<const T*>(args_.weight) +
          static_cast<std::size_t>(epilogue_.row(safe, copied_row(i) / kUnits)) * args_.length;
    }
  }

  const GemvArgs& args_;
  const Epilogue& epilogue_;
  Pack<T>* slots_;
  Tiles<Epilogue::kWidth> tiles_;
  const T* rows_[kCopies] = {};
  unsigned present_ = 0;  // a bit a row
  int tile_ = 0;          // of the next step
  int at_ = 0;
  int filling_ = 0;
  int reading_ = 0;
};

/// Multiplies this warp's columns of the next tile; `sums` [tile rows, input rows] of this warp.
template <typename T, typename Epilogue>
__device__ inline void multiply_tile(const GemvArgs& args,
                                     TileRing<T, Epilogue>& ring,
                                     const T* x,
                                     float* sums) {
  const int lane = threadIdx.x % kWarp;
  const int row = lane / 4;
  const T* staged = x + (row < args.rows ? row : 0) * args.stride + lane % 4 * Pack<T>::kCount;
  float even[4] = {};
  float odd[4] = {};
  for (int at = ring.begin(); at < args.length; at += ring.kSpread) {
    ring.wait();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int piece = half * kLinePacks / 2 + lane % 4;
      const Pack<T> in = load_pack(staged + at + half * kTileColumns / 2);
      const Pack<T> upper = ring.packed(row, piece);
      const Pack<T> lower = ring.packed(row + 8, piece);
      const unsigned first[4] = {upper.words[0], lower.words[0], upper.words[1], lower.words[1]};
      const unsigned second[4] = {upper.words[2], lower.words[2], upper.words[3], lower.words[3]};
      multiply(even, first, {in.words[0], in.words[1]}, T{});
      multiply(odd, second, {in.words[2], in.words[3]}, T{});
    }
    ring.release();
    ring.issue();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = lane % 4 * 2 + i % 2;
    if (column < args.rows) {
      sums[(row + i / 2 * 8) * args.rows + column] = even[i] + odd[i];
    }
  }
}

/// Adds up the warps' sums of the tiles [from, to) and finishes their units.
template <typename Epilogue>
__device__ inline void finish_tiles(const GemvArgs& args,
                                    const Epilogue& epilogue,
                                    int2 from_to,
                                    const float* sums) {
  constexpr int kWidth = Epilogue::kWidth;
  constexpr int kUnits = Tiles<kWidth>::kUnits;
  const Tiles<kWidth> tiles(gemv_units(args).x, gemv_units(args).y);
  const int slots = (from_to.y - from_to.x) * kUnits;
  for (int i = threadIdx.x; i < slots * args.rows; i += kGemvThreads) {
    const int input = i / slots;
    const int tile = i % slots / kUnits;
    const int own = i % kUnits;
    const int unit = tiles.begin(from_to.x + tile) + own;
    if (unit >= tiles.begin(from_to.x + tile + 1)) {
      continue;
    }
    float total[kWidth] = {};
#pragma unroll
    for (int warp = 0; warp < kGemvWarps; ++warp) {
#pragma unroll
      for (int which = 0; which < kWidth; ++which) {
        const int row = (tile * kGemvWarps + warp) * kTileRows + own + which * kTileRows / 2;
        total[which] += sums[row * args.rows + input];
      }
    }
    epilogue.finish(tiles.first + unit, input, total);
  }
}

template <typename T, typename Epilogue>
__global__ void __launch_bounds__(kGemvThreads, 2)
    gemv_tiles_kernel(GemvArgs args, Epilogue epilogue) {
  extern __shared__ __align__(16) unsigned char shared[];
  T* x = reinterpret_cast<T*>(shared + args.stages * kStageBytes);
  float* sums = reinterpret_cast<float*>(x + args.rows * args.stride);
  TileRing<T, Epilogue> ring(args, epilogue, reinterpret_cast<Pack<T>*>(shared));
  for (int stage = 0; stage + 1 < args.stages; ++stage) {
    ring.issue();
  }
  RowStager<T> stager(args);
  wait_for_inputs();
  stager.stage(x);
  const Tiles<Epilogue::kWidth> tiles = ring.tiles();
  const int round = round_tiles(args.rows);
  const int warp = threadIdx.x / kWarp;
  // Two buffers of sums take turns, so that one barrier a round is enough.
  float* now = sums;
  float* next = sums + kRoundBytes / sizeof(float);
  for (int from = 0; from < tiles.count; from += round) {
    const int to = min(from + round, tiles.count);
    for (int tile = from; tile < to; ++tile) {
      const int at = ((tile - from) * kGemvWarps + warp) * kTileRows;
      multiply_tile(args, ring, x, now + at * args.rows);
    }
    __syncthreads();
    finish_tiles(args, epilogue, make_int2(from, to), now);
    float* const done = now;
    now = next;
    next = done;
  }
}

/// Shared memory of the kernel beside the ring.
constexpr std::size_t tile_input_bytes(int rows, int length) {
  return 2 * static_cast<std::size_t>(rows) * static_cast<std::size_t>(gemv_stride(length)) +
         2 * kRoundBytes;
}

/// How many blocks a multiprocessor has, and how deep their rings are.
struct TilePlan {
  int blocks = 0;  ///< of a multiprocessor; 0: not even one fits
  int stages = 0;
};

/// Two blocks where that leaves them deep rings: while one ends, the other goes on reading.
inline TilePlan plan_tiles(const Target& target, int rows, int length) {
  // What the hardware keeps of each block, and what the kernel declares: the statistics of rows.
  constexpr std::size_t kReserved = 1024;
  constexpr std::size_t kDeclared = (kMaxDecodeRows + 1) * kGemvWarps * sizeof(Moments);
  const std::size_t beside = tile_input_bytes(rows, length) + kDeclared;
  const auto stages_in = [&](std::size_t bytes) {
    const std::size_t room = bytes > beside ? (bytes - beside) / kStageBytes : 0;
    return std::min(static_cast<int>(room), kMostStages);
  };
  const auto whole = static_cast<std::size_t>(target.shared_bytes);
  const int two = stages_in((whole + kReserved) / 2 - kReserved);
  if (two >= kFewStages) {
    return {.blocks = 2, .stages = two};
  }
  const int one = stages_in(whole);
  return one >= 2 ? TilePlan{.blocks = 1, .stages = one} : TilePlan{};
}

template <typename T, typename Epilogue>
void launch_gemv_tiles(const Target& target, GemvArgs args, const Epilogue& epilogue) {
  args.stride = gemv_stride(args.length);
  const TilePlan plan = plan_tiles(target, args.rows, args.length);
  args.stages = plan.stages;
  const auto blocks =
      static_cast<unsigned>(std::min(args.units, plan.blocks * target.multiprocessors));
  launch(target,
         gemv_tiles_kernel<T, Epilogue>,
         {.blocks = dim3(blocks),
          .threads = kGemvThreads,
          .shared_bytes = static_cast<std::size_t>(args.stages) * kStageBytes +
                          tile_input_bytes(args.rows, args.length)},
         args,
         epilogue);
}

}  // namespace kvg::kernels
