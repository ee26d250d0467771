#pragma once

#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/mma.cuh"

// Projections of a few rows for 16-bit weights. A tile is 16 weight rows, multiplied on the matrix
// units, which take eight input rows for the price of one and leave the instruction slots free. The
// warps form two teams that take turns at the tiles; within a team each warp has its own stretch of
// the columns.
//
// The order of columns within a product is free, so a lane takes 16 neighbouring bytes of two
// weight rows and of an input row, and no fragment is ever shuffled. A warp copies its stretch into
// a ring in shared memory, whole 128-byte lines, several steps ahead and across tiles. The first
// steps are under way before the kernel in front has ended, as weights depend on nothing.

namespace kvg::kernels {

inline constexpr int kTileRows = 16;
inline constexpr int kTileColumns = 64;  // of a step: one line of every row
inline constexpr int kLinePacks = 8;     // 16-byte pieces of a line
inline constexpr int kStagePacks = kTileRows * kLinePacks;
inline constexpr int kTeams = 2;
inline constexpr int kTeamWarps = kGemvWarps / kTeams;
inline constexpr int kDeepStages = 3;
inline constexpr int kShallowStages = 2;
inline constexpr std::size_t kStageBytes = std::size_t{16} * kStagePacks * kGemvWarps;
inline constexpr std::size_t kTileSumBytes = sizeof(float) * kTileRows * kTeamWarps;
inline constexpr std::size_t kRoundBytes = 16 * kTileSumBytes;

/// Tiles whose sums are held at once: as many for one team as for the other.
constexpr int round_tiles(int rows) {
  return static_cast<int>(kRoundBytes / kTileSumBytes) / rows / kTeams * kTeams;
}

/// How a block's units fall into tiles, evenly, as many for one team as for the other.
template <int Width>
struct Tiles {
  static constexpr int kUnits = kTileRows / Width;  // most units of a tile

  int first;
  int units;
  int count;

  __host__ __device__ Tiles(int first_unit, int unit_count)
      : first(first_unit),
        units(unit_count),
        count((unit_count + kUnits * kTeams - 1) / (kUnits * kTeams) * kTeams) {}

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
        tiles_(gemv_units(args).x, gemv_units(args).y),
        tile_(static_cast<int>(threadIdx.x) / kWarp / kTeamWarps) {
    const int warp = threadIdx.x / kWarp % kTeamWarps;
    const int steps = (args.length + kTileColumns - 1) / kTileColumns;
    begin_ = steps * warp / kTeamWarps * kTileColumns;
    end_ = steps * (warp + 1) / kTeamWarps * kTileColumns;
    if (begin_ == end_) {
      tile_ = tiles_.count;
    }
    find_rows();
  }

  [[nodiscard]] __device__ int begin() const { return begin_; }
  [[nodiscard]] __device__ int end() const { return end_; }
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
      at_ += kTileColumns;
      if (at_ >= end_) {
        tile_ += kTeams;
        find_rows();
      }
    }
    filling_ = filling_ + 1 < args_.stages ? filling_ + 1 : 0;
    commit_copies();
  }

  /// Waits for the warp's copies of the oldest step. Every lane is then done with the step before,
  /// whose place issue() fills next.
  __device__ void wait() const {
    if (args_.stages == kDeepStages) {
      wait_own_copies<kDeepStages - 2>();
    } else {
      wait_own_copies<kShallowStages - 2>();
    }
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

  // Rows that differ by one lie in different halves of the banks.
  __device__ static int place(int row, int piece) {
    return row * kLinePacks + (piece ^ (row % 2 * (kLinePacks / 2)));
  }
  __device__ static int copied_row(int i) {
    return i * (kTileRows / kCopies) + static_cast<int>(threadIdx.x) % kWarp / kLinePacks;
  }

  // The weight rows of the next tile that this lane copies.
  __device__ void find_rows() {
    at_ = begin_;
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
  int begin_ = 0;         // columns of this warp
  int end_ = 0;
  int tile_;  // of the next step
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
  for (int at = ring.begin(); at < ring.end(); at += kTileColumns) {
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
    for (int warp = 0; warp < kTeamWarps; ++warp) {
#pragma unroll
      for (int which = 0; which < kWidth; ++which) {
        const int row = (tile * kTeamWarps + warp) * kTileRows + own + which * kTileRows / 2;
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
  allow_next();
  TileRing<T, Epilogue> ring(args, epilogue, reinterpret_cast<Pack<T>*>(shared));
  for (int stage = 0; stage + 1 < args.stages; ++stage) {
    ring.issue();
  }
  RowStager<T> stager(args);
  wait_for_inputs();
  stager.stage(x);
  const Tiles<Epilogue::kWidth> tiles = ring.tiles();
  const int round = round_tiles(args.rows);
  const int team = static_cast<int>(threadIdx.x) / kWarp / kTeamWarps;
  const int warp = threadIdx.x / kWarp % kTeamWarps;
  // Two buffers of sums take turns, so that one barrier a round is enough.
  float* now = sums;
  float* next = sums + kRoundBytes / sizeof(float);
  for (int from = 0; from < tiles.count; from += round) {
    const int to = min(from + round, tiles.count);
    for (int tile = from + team; tile < to; tile += kTeams) {
      const int at = ((tile - from) * kTeamWarps + warp) * kTileRows;
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

/// Deep where two kernels' rings fit a multiprocessor side by side.
inline int tile_stages(const Target& target) {
  constexpr int kRoomy = 160 * 1024;
  return target.shared_bytes >= kRoomy ? kDeepStages : kShallowStages;
}

template <typename T, typename Epilogue>
void launch_gemv_tiles(const Target& target, GemvArgs args, const Epilogue& epilogue) {
  args.stride = gemv_stride(args.length);
  args.stages = tile_stages(target);
  const auto blocks = static_cast<unsigned>(std::min(args.units, target.multiprocessors));
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
