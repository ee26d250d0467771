#pragma once

#include "kernels/cuda/gemv_epilogues.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/tensor_copy.cuh"

// Weights of 16 bits on their way to the matrix units. A tile is eight weight rows, multiplied with
// eight input rows for the price of one.
//
// A few warps of a block keep a ring in shared memory filled by bulk copies, a step's columns of
// all rows of a tile at a time, across tiles and across the projections of a chain: weights depend
// on nothing. No more than keeps the memory busy is under way at once: what is asked for beyond
// that only makes everybody else's loads wait, those of other blocks' results before all, while
// stages that have come are what a block lives on after it waited. kGemvWarps others form teams
// that take steps in turn, each warp some lines of every row. The order of columns within a product
// is free, so a lane takes 16 neighbouring bytes of a weight row and of an input row, and no
// fragment is ever shuffled.

namespace kvg::kernels {

inline constexpr int kTileRows = 8;
inline constexpr int kLineColumns = 64;
inline constexpr int kTeamWarps = 4;
inline constexpr int kTeams = kGemvWarps / kTeamWarps;
inline constexpr int kWarpLines = 4;
inline constexpr int kMostStepColumns = kTeamWarps * kWarpLines * kLineColumns;
/// Bytes from a row to the next, a multiple of 128: copies to other places are slow when many are
/// under way.
inline constexpr int kStagePitch = 2 * kMostStepColumns;
inline constexpr int kStageBytes = kTileRows * kStagePitch;
inline constexpr int kMostStages = 13;
/// Stages that are asked for and have not come: 64 KB a multiprocessor, the least that keeps the
/// memory of an H200 busy.
inline constexpr int kMostUnderWay = 4;
/// Warps that copy: lanes of one ask for their copies one after another, too slowly for all rows.
inline constexpr int kCopyWarps = 3;

/// Most projections of a chain: what stands between the attention of one layer and of the next, and
/// two that go beside it.
inline constexpr int kMostLinks = 6;

/// How so many units of a block fall into tiles: as few as take them, all alike but for the last,
/// since what is under way is counted in steps of tiles.
struct TileCut {
  int count = 0;
  int each = 0;  ///< units of a tile

  TileCut() = default;
  TileCut(int units, int room)
      : count((units + room - 1) / room), each((units + count - 1) / std::max(count, 1)) {}
};

/// Projections to be run one after another by one kernel.
template <typename T>
struct alignas(16) ChainArgs {
  struct Link {
    Projection<T> projection;
    TileCut cuts[2];       ///< of a block's share, and of one with a unit more
    int steps = 0;         ///< of a tile
    int step_columns = 0;  ///< of all steps but the last
    int posts = -1;        ///< where in the set of posts its results are left; -1: nowhere
    int reads = -1;        ///< likewise where its input is left by a link before; -1: it is there
  };
  Link links[kMostLinks];
  int count = 0;
  int ahead = 0;        ///< of these, that wait for the chain before and not for the
                        ///< kernels between
  int rows = 0;         ///< most of a projection
  int stages = 0;       ///< of the ring
  int staged = 0;       ///< bytes for the largest input, all rows
  bool clears = false;  ///< the ring first: some row does not fill its last line
  // Counts of blocks, which are multiples of all between launches.
  unsigned* hears = nullptr;       ///< ends of the chain before; null: nothing is ahead
  unsigned* tells = nullptr;       ///< ends of this one, to the next; null: not told
  unsigned* ends = nullptr;        ///< of all with a use for posts
  std::byte* post_sets = nullptr;  ///< two, that chains take in turn
  int post_bytes = 0;              ///< of a set; 0: this chain has no use for them
};

/// A tile has room for 2^shift units of one or two weight rows.
constexpr int tile_shift(bool paired) {
  return paired ? 2 : 3;
}

/// The tiles of a block.
struct Tiles {
  int first;  ///< unit
  int units;
  int shift;  ///< log2 of the units that a tile has room for
  TileCut cut;

  template <typename Link>
  __device__ explicit Tiles(const Link& link)
      : first(link.projection.gemv.share.first()),
        units(link.projection.gemv.share.count()),
        shift(tile_shift(link.projection.is_paired())),
        cut(link.cuts[link.projection.gemv.share.has_more() ? 1 : 0]) {}

  /// The unit at a place of a tile, counted from the first; -1 for none.
  [[nodiscard]] __device__ int unit(int tile, int place) const {
    const int at = tile * cut.each + place;
    return place < cut.each && at < units ? at : -1;
  }
};

/// The ring as all its users see it; in shared memory.
struct WeightRing {
  std::uint64_t full[kMostStages];   ///< a stage's copies have arrived
  std::uint64_t empty[kMostStages];  ///< a team is done with it

  /// By all warps: the lanes of one would take turns.
  __device__ void prepare() {
    if (threadIdx.x % kWarp == 0) {
      for (unsigned stage = threadIdx.x / kWarp; stage < kMostStages; stage += blockDim.x / kWarp) {
        make_barrier(full[stage], kCopyWarps);
        make_barrier(empty[stage], kTeamWarps * kWarp);
      }
      publish_barriers();
    }
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

/// One of kCopyWarps warps, which together ask for all weights of a chain, in the order in which
/// they are used.
template <typename T>
class RingFiller {
 public:
  __device__ RingFiller(WeightRing& ring, unsigned char* room, int stages, int warp)
      : ring_(ring),
        stages_(stages),
        lane_(static_cast<int>(threadIdx.x) % kWarp),
        row_(lane_ * kCopyWarps + warp),
        room_(room + row_ * kStagePitch),
        oldest_{stages - kMostUnderWay, 1},
        policy_(read_once_policy()) {}

  __device__ void fill(const typename ChainArgs<T>::Link& link) {
    const Projection<T>& projection = link.projection;
    const Tiles tiles(link);
    const int which = row_ >> tiles.shift;
    const int own = row_ & ((1 << tiles.shift) - 1);
    for (int tile = 0; tile < tiles.cut.count; ++tile) {
      const int unit = tiles.unit(tile, own);
      const bool present = row_ < kTileRows && unit >= 0;
      const int row = present ? projection.row(tiles.first + unit, which) : 0;
      fill_tile(link,
                static_cast<const T*>(projection.gemv.weight) +
                    static_cast<std::size_t>(row) * projection.gemv.length,
                present);
    }
  }

 private:
  __device__ void fill_tile(const typename ChainArgs<T>::Link& link, const T* from, bool present) {
    const int length = link.projection.gemv.length;
    const auto rows = static_cast<unsigned>(__popc(__ballot_sync(kAllLanes, present)));
    for (int column = 0; column < length; column += link.step_columns) {
      const auto bytes = static_cast<unsigned>(2 * min(link.step_columns, length - column));
      wait_phase(ring_.full[oldest_.stage], oldest_.parity);
      wait_phase(ring_.empty[place_.stage], place_.parity ^ 1U);
      if (lane_ == 0) {
        arrive_expecting(ring_.full[place_.stage], rows * bytes);
      }
      __syncwarp();
      if (present) {
        load_bytes(room_ + place_.stage * kStageBytes,
                   from + column,
                   bytes,
                   ring_.full[place_.stage],
                   policy_);
      }
      place_.advance(1, stages_);
      oldest_.advance(1, stages_);
    }
  }

  WeightRing& ring_;
  int stages_;
  int lane_;
  int row_;              ///< of every tile
  unsigned char* room_;  ///< for it in the first stage
  RingPlace place_;
  RingPlace oldest_;  ///< kMostUnderWay before; at first of a turn that is over
  std::uint64_t policy_;
};

/// What one of the other warps has of the ring: every kTeams-th step, some lines of each row.
template <typename T>
class TileReader {
 public:
  __device__ TileReader(WeightRing& ring, const unsigned char* room, int stages)
      : ring_(ring),
        stages_(stages),
        ahead_(warp() / kTeamWarps),
        own_(room + (lane() / 4) * kStagePitch + line() * (2 * kLineColumns) +
             lane() % 4 * sizeof(Pack<T>)) {
    place_.stage = ahead_;
  }

  /// Multiplies this warp's share of a tile; `sums` [tile rows, input rows] of this warp.
  __device__ void multiply_tile(const typename ChainArgs<T>::Link& link, const T* x, float* sums) {
    const GemvArgs& args = link.projection.gemv;
    const int row = lane() / 4;
    const bool has_row = row < args.rows;
    // Lanes of rows that are not there multiply the first one's for nothing.
    const T* staged = x + (has_row ? row : 0) * args.stride + line() * kLineColumns +
                      lane() % 4 * Pack<T>::kCount;
    float products[kChains][4] = {};
    for (; ahead_ < link.steps; ahead_ += kTeams) {
      const int column = ahead_ * link.step_columns;
      const int lines =
          (min(link.step_columns, args.length - column) + kLineColumns - 1) / kLineColumns;
      wait_phase(ring_.full[place_.stage], place_.parity);
      // Without branches, so that loads of all lines are under way at once.
#pragma unroll
      for (int i = 0; i < kWarpLines; ++i) {
        const bool present = i * kTeamWarps + line() < lines;
        multiply_line(staged + column, i * kTeamWarps, present, products);
      }
      arrive(ring_.empty[place_.stage]);
      place_.advance(kTeams, stages_);
    }
    ahead_ -= link.steps;
    if (has_row) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        sums[(lane() % 4 * 2 + i) * args.rows + row] =
            products[0][i] + products[1][i] + (products[2][i] + products[3][i]);
      }
    }
  }

 private:
  static constexpr int kChains = 4;  // products that do not wait for each other

  __device__ static int warp() {
    return static_cast<int>(threadIdx.x) / kWarp;
  }
  __device__ static int lane() {
    return static_cast<int>(threadIdx.x) % kWarp;
  }
  // The first line of this warp.
  __device__ static int line() {
    return warp() % kTeamWarps;
  }

  // Weights are columns of the product, so that half of what the matrix units could take, eight
  // more input rows, stays empty.
  __device__ void multiply_line(const T* x,
                                int line,
                                bool present,
                                float (&products)[kChains][4]) const {
    const unsigned char* row = own_ + place_.stage * kStageBytes + line * (2 * kLineColumns);
    // Rows side by side are read from different halves of the banks.
    const int odd = lane() / 4 % 2;
    Pack<T> read[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto* from = reinterpret_cast<const T*>(row + (i ^ odd) * kLineColumns);
      read[i] = present ? load_pack(from) : Pack<T>{};
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const T* from = x + line * kLineColumns + half * kLineColumns / 2;
      const Pack<T> in = present ? load_pack(from) : Pack<T>{};
      Pack<T> weight;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weight.words[i] = odd != 0 ? read[1 - half].words[i] : read[half].words[i];
      }
      const unsigned first[4] = {in.words[0], 0, in.words[1], 0};
      const unsigned second[4] = {in.words[2], 0, in.words[3], 0};
      multiply(products[2 * half], first, {weight.words[0], weight.words[1]}, T{});
      multiply(products[2 * half + 1], second, {weight.words[2], weight.words[3]}, T{});
    }
  }

  WeightRing& ring_;
  int stages_;
  int ahead_;                 ///< steps from the tile's first to this warp's next
  const unsigned char* own_;  ///< of the first stage
  RingPlace place_;
};

}  // namespace kvg::kernels
