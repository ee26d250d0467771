#pragma once

#include "kernels/cuda/gemv_epilogues.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/tensor_copy.cuh"

// Weights of 16 bits on their way to the matrix units. A tile is 16 weight rows, multiplied with
// eight input rows for the price of one.
//
// A few warps of a block keep a ring in shared memory filled by bulk copies, a step's columns of
// all rows of a tile at a time, several steps ahead, across tiles and across the projections of a
// chain: weights depend on nothing. The other warps form two teams that take steps in turn, each
// warp a line of every row. The order of columns within a product is free, so a lane takes 16
// neighbouring bytes of two weight rows and of an input row, and no fragment is ever shuffled.

namespace kvg::kernels {

inline constexpr int kTileRows = 16;
inline constexpr int kLineColumns = 64;
inline constexpr int kTeamWarps = kGemvWarps / 2;
inline constexpr int kStepColumns = kTeamWarps * kLineColumns;
/// Bytes from a row to the next: those that differ by one lie in different halves of the banks.
inline constexpr int kStagePitch = 2 * kStepColumns + 64;
inline constexpr std::size_t kStageBytes = std::size_t{kTileRows} * kStagePitch;
inline constexpr int kMostStages = 12;
/// Warps that copy: lanes of one ask for their copies one after another, too slowly for all rows.
inline constexpr int kCopyWarps = 4;

/// Most projections of a chain: what stands between the attention of one layer and of the next.
inline constexpr int kMostLinks = 4;

/// Projections to be run one after another by one kernel.
template <typename T>
struct ChainArgs {
  struct Link {
    Projection<T> projection;
    bool waits = false;  ///< for all blocks to be done with the links before
  };
  Link links[kMostLinks];
  int count = 0;
  int stages = 0;                ///< of the ring, even: each belongs to one team
  int staged = 0;                ///< bytes for the largest input, all rows
  bool clears = false;           ///< the ring first: some row does not fill its last line
  unsigned* arrivals = nullptr;  ///< a multiple of the blocks between launches
};

/// How a block's units fall into tiles, evenly.
struct Tiles {
  int capacity;  // most units of a tile
  int first;
  int units;
  int count;

  __device__ Tiles(int width, int2 first_count)
      : capacity(kTileRows / width),
        first(first_count.x),
        units(first_count.y),
        count((units + capacity - 1) / capacity) {}

  // First unit of a tile, counted from the block's first.
  __device__ int begin(int tile) const { return units * tile / count; }
};

template <typename T>
__device__ inline Tiles tiles_of(const Projection<T>& projection) {
  return {projection.width(), gemv_units(projection.gemv)};
}

/// The ring as all its users see it; in shared memory.
struct WeightRing {
  std::uint64_t full[kMostStages];   ///< a stage's copies have arrived
  std::uint64_t empty[kMostStages];  ///< a team is done with it

  /// By one thread.
  __device__ void prepare() {
#pragma unroll 1
    for (int stage = 0; stage < kMostStages; ++stage) {
      make_barrier(full[stage], kCopyWarps);
      make_barrier(empty[stage], kTeamWarps);
    }
    publish_barriers();
  }
};

/// A place in the ring that moves on by some stages, fewer than there are.
struct RingPlace {
  int stage = 0;
  unsigned parity = 0;

  __device__ void advance(int by, int stages) {
    stage += by;
    if (stage >= stages) {
      stage -= stages;
      parity ^= 1U;
    }
  }
};

/// By kCopyWarps warps, of which this is number `warp`: asks for all weights of the chain, in the
/// order in which they are used.
template <typename T>
__device__ inline void fill_ring(const ChainArgs<T>& chain,
                                 WeightRing& ring,
                                 unsigned char* room,
                                 int warp) {
  constexpr int kOwnRows = kTileRows / kCopyWarps;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = warp * kOwnRows + lane;
  RingPlace place;
  for (int i = 0; i < chain.count; ++i) {
    const Projection<T>& projection = chain.links[i].projection;
    const int length = projection.gemv.length;
    const Tiles tiles = tiles_of(projection);
    for (int tile = 0; tile < tiles.count; ++tile) {
      const int unit = tiles.begin(tile) + row % tiles.capacity;
      const bool present = lane < kOwnRows && unit < tiles.begin(tile + 1);
      const auto rows = static_cast<unsigned>(__popc(__ballot_sync(kAllLanes, present)));
      const T* from = static_cast<const T*>(projection.gemv.weight);
      if (present) {
        projection.with_epilogue([&](const auto& epilogue) {
          from += static_cast<std::size_t>(epilogue.row(tiles.first + unit, row / tiles.capacity)) *
                  length;
        });
      }
      for (int column = 0; column < length; column += kStepColumns) {
        const auto bytes = static_cast<unsigned>(2 * min(kStepColumns, length - column));
        wait_phase(ring.empty[place.stage], place.parity ^ 1U);
        if (lane == 0) {
          arrive_expecting(ring.full[place.stage], rows * bytes);
        }
        __syncwarp();
        if (present) {
          load_bytes(room + place.stage * kStageBytes + row * kStagePitch,
                     from + column,
                     bytes,
                     ring.full[place.stage]);
        }
        place.advance(1, chain.stages);
      }
    }
  }
}

/// What one of the other warps has of the ring: every second step, a line of each row.
template <typename T>
class TileReader {
 public:
  __device__ TileReader(WeightRing& ring, const unsigned char* room, int stages)
      : ring_(ring), stages_(stages), ahead_(warp() / kTeamWarps) {
    place_.stage = ahead_;
    own_ = room + (lane() / 4) * kStagePitch + warp() % kTeamWarps * (2 * kLineColumns) +
           lane() % 4 * sizeof(Pack<T>);
  }

  /// Multiplies this warp's share of a tile; `sums` [tile rows, input rows] of this warp.
  __device__ void multiply_tile(const GemvArgs& args, const T* x, float* sums) {
    const int row = lane() / 4;
    const int line = warp() % kTeamWarps * kLineColumns;
    const T* staged =
        x + (row < args.rows ? row : 0) * args.stride + line + lane() % 4 * Pack<T>::kCount;
    const int steps = (args.length + kStepColumns - 1) / kStepColumns;
    float even[4] = {};
    float odd[4] = {};
    for (; ahead_ < steps; ahead_ += 2) {
      const int column = ahead_ * kStepColumns;
      wait_phase(ring_.full[place_.stage], place_.parity);
      if (column + line < args.length) {
        multiply_line(staged + column, even, odd);
      }
      __syncwarp();
      if (lane() == 0) {
        arrive(ring_.empty[place_.stage]);
      }
      place_.advance(2, stages_);
    }
    ahead_ -= steps;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = lane() % 4 * 2 + i % 2;
      if (column < args.rows) {
        sums[(row + i / 2 * 8) * args.rows + column] = even[i] + odd[i];
      }
    }
  }

 private:
  __device__ static int warp() {
    return static_cast<int>(threadIdx.x) / kWarp;
  }
  __device__ static int lane() {
    return static_cast<int>(threadIdx.x) % kWarp;
  }

  __device__ void multiply_line(const T* x, float (&even)[4], float (&odd)[4]) const {
    const unsigned char* rows = own_ + place_.stage * kStageBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Pack<T> in = load_pack(x + half * kLineColumns / 2);
      const auto* upper_row = reinterpret_cast<const T*>(rows + half * kLineColumns);
      const auto* lower_row =
          reinterpret_cast<const T*>(rows + half * kLineColumns + 8 * kStagePitch);
      const Pack<T> upper = load_pack(upper_row);
      const Pack<T> lower = load_pack(lower_row);
      const unsigned first[4] = {upper.words[0], lower.words[0], upper.words[1], lower.words[1]};
      const unsigned second[4] = {upper.words[2], lower.words[2], upper.words[3], lower.words[3]};
      multiply(even, first, {in.words[0], in.words[1]}, T{});
      multiply(odd, second, {in.words[2], in.words[3]}, T{});
    }
  }

  WeightRing& ring_;
  int stages_;
  int ahead_;  ///< steps from the tile's first to this warp's next
  RingPlace place_;
  const unsigned char* own_;  ///< of the first stage
};

}  // namespace kvg::kernels
