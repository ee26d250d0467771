#pragma once

#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_places.cuh"
#include "kernels/cuda/mma.cuh"

// What the readers that answer up to eight queries with matrix units have in common: 16 slots of
// keys times the queries, and 16 channels of values times the weights of 16 slots. Which channels
// meet in a product is free, so a lane takes those that lie together, and rows become operands as
// they are stored. How they get to registers is attend_tile.cuh's.

namespace kvg::kernels {

template <FormClass KeyClass, FormClass ValueClass, int Dim, bool Paged, int Threads>
struct GroupReader {
  static constexpr int kGroup = 8;
  static constexpr int kThreads = Threads;
  static constexpr int kBlocks = 1;  ///< of a multiprocessor
  using KeyPieces = RowPieces<KeyClass, Dim, 4>;
  using ValuePieces = RowPieces<ValueClass, Dim, 8>;
  using KeyPlaces = Places<KeyClass>;
  using ValuePlaces = Places<ValueClass>;
  static constexpr int kSteps = Dim / 16;
  /// How far a score may pass the largest before sums are scaled down, and how far above 1 the
  /// weight of the largest is: weights stay below 2^14, and f16 holds those down to 2^-30 of the
  /// largest.
  static constexpr float kSlack = 8.0F;
  static constexpr float kLift = 6.0F;
  /// Slots from a tile of a warp to its next.
  static constexpr int kStep = kThreads / kWarp * kTileSlots;

  /// Slots that follow one another. `count` of 0: there is nothing to see.
  struct Tile {
    int slot;
    int count;
  };

  const AttendKernelArgs& args;
  const BlockWork& work;  ///< in shared memory
  int lane = static_cast<int>(threadIdx.x) % kWarp;
  int quad = lane / 4;  ///< slot of keys, channel of values, query of operands
  int spot = lane % 4;  ///< channel of keys, slot of values, queries of results
  float scale = args.scale * kLog2E;
  const uint2* queries;         ///< in shared memory: [sets][kSteps][kWarp]
  float mixed[kSteps][4] = {};  ///< sums of weight x value
  float largest[2] = {kLeast, kLeast};
  float weights[2] = {};

  /// Floats of shared memory before the queries as stage_queries() leaves them.
  __host__ __device__ static constexpr int staged_floats(int head_dim) {
    return 2 * head_dim / 16 * kWarp * 2;
  }
  /// Of queries on their way to be turned; for rows of 16 bits they are not.
  static constexpr int kSets = has_scales(KeyClass) ? 2 : 0;

  __device__ GroupReader(const AttendKernelArgs& kernel_args,
                         const BlockWork& block_work,
                         float* shared)
      : args(kernel_args),
        work(block_work),
        queries(reinterpret_cast<const uint2*>(shared) + lane) {}

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }

  /// The slots of a tile of the work that starts at `at`.
  [[nodiscard]] __device__ Tile tile_at(int at) const {
    if constexpr (Paged) {
      const std::int32_t page =
          args.pages.pages[work.head * args.pages.count + (at >> args.page_shift)];
      const int slot = (page << args.page_shift) + (at & (args.pages.page - 1));
      return {slot, page < 0 ? 0 : min(max(work.entries - slot, 0), kTileSlots)};
    } else {
      return {at, min(work.end - at, kTileSlots)};
    }
  }

  /// Queries to operands: pairs of the channels that keys yield as pairs.
  __device__ void stage(float* shared) const {
    const int count = (args.sinks > 0 ? 2 : 1) * kSteps * kWarp;
    auto* operands = reinterpret_cast<uint2*>(shared);
    if (kSets == 0 || args.keys.form.transform == Transform::kNone) {
      // Straight from memory, all at once.
      for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const bool of_sinks = i >= kSteps * kWarp;
        const int query = i % kWarp / 4;
        const std::int64_t row = (work.first_query + query) * Dim;
        operands[i] = operand(i, [&](int channel) {
          return query < work.queries
                     ? element_at(
                           of_sinks ? args.sink_query : args.query, args.compute, row + channel)
                     : 0.0F;
        });
      }
    } else {
      float* sets = shared + staged_floats(Dim);
      stage_queries<kGroup, kThreads>(args, work, {.sets = sets});
      for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const float* row = sets + (i / (kWarp * kSteps) * kGroup + i % kWarp / 4) *
                                      static_cast<std::ptrdiff_t>(Dim);
        operands[i] = operand(i, [row](int channel) { return row[channel]; });
      }
    }
    __syncthreads();
  }

  /// Operand `i` of a set of queries: two pairs of the channels of a lane's query.
  template <typename Element>
  [[nodiscard]] __device__ static uint2 operand(int i, Element&& element) {
    std::uint32_t pair[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = 2 * (i / kWarp % kSteps) + half;
      const int channel = KeyPieces::channel(at / KeyPieces::kPairs, at % KeyPieces::kPairs, i % 4);
      pair[half] = pack_pair(
          element(channel), element(channel + KeyPieces::kApart), typename KeyPlaces::Element{});
    }
    return make_uint2(pair[0], pair[1]);
  }

  /// Scores of a tile, [slot quad, 8 further][queries 2 spot, one further]: of base 2, -infinity
  /// for what is not there. `multiply_keys(set, products)` does so piece by piece.
  template <typename MultiplyKeys>
  __device__ void score(const Tile& tile, float (&scores)[4], MultiplyKeys&& multiply_keys) const {
    float products[2][4] = {};
    multiply_keys(0, products);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[i] = products[0][i] + products[1][i];
    }
    if (tile.slot < args.sinks) {
      float of_sinks[2][4] = {};
      multiply_keys(1, of_sinks);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (tile.slot + quad + i / 2 * 8 < args.sinks) {
          scores[i] = of_sinks[0][i] + of_sinks[1][i];
        }
      }
    }
    if (args.scores != nullptr) {
      write_scores(tile, scores);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[i] = quad + i / 2 * 8 < tile.count ? scores[i] * scale : -INFINITY;
    }
  }

  __device__ void write_scores(const Tile& tile, const float (&scores)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = 2 * spot + i % 2;
      const int slot = quad + i / 2 * 8;
      if (slot < tile.count && query < work.queries) {
        args.scores[(work.first_query + query) * args.capacity + tile.slot + slot] =
            scores[i] * args.scale;
      }
    }
  }

  /// Turns scores into weights.
  __device__ void weigh(float (&scores)[4]) {
    const float most[2] = {fmaxf(scores[0], scores[2]), fmaxf(scores[1], scores[3])};
    const bool passes = most[0] > largest[0] + kSlack || most[1] > largest[1] + kSlack;
    if (__any_sync(kAllLanes, passes)) {
      raise_largest(most);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[i] = exp2_of(scores[i] - (largest[i % 2] - kLift));
      weights[i % 2] += scores[i];
    }
  }

  __device__ void raise_largest(const float (&most)[2]) {
#pragma unroll
    for (int q = 0; q < 2; ++q) {
      float next = fmaxf(largest[q], most[q]);
#pragma unroll
      for (int step = 4; step < kWarp; step *= 2) {
        next = fmaxf(next, __shfl_xor_sync(kAllLanes, next, step));
      }
      const float decay = exp2_of(largest[q] - next);
      largest[q] = next;
      weights[q] *= decay;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        mixed[step][q] *= decay;
        mixed[step][2 + q] *= decay;
      }
    }
  }

  /// products += the pairs that slots `quad` and 8 further have in a piece, times a set of queries.
  /// Two sums take turns.
  __device__ void multiply_piece(int set,
                                 int piece,
                                 const std::uint32_t (&pairs)[2][KeyPieces::kPairs],
                                 float (&products)[2][4]) const {
#pragma unroll
    for (int i = 0; i < KeyPieces::kPairs / 2; ++i) {
      const unsigned a[4] = {
          pairs[0][2 * i], pairs[1][2 * i], pairs[0][2 * i + 1], pairs[1][2 * i + 1]};
      const int step = piece * KeyPieces::kPairs / 2 + i;
      multiply(products[step % 2],
               a,
               queries[(set * kSteps + step) * kWarp],
               typename KeyPlaces::Element{});
    }
  }

  /// mixed += a piece of the values of slots 2 spot and one further, and of those 8 further, times
  /// weights_of(). Pairs of slots, of the channels in the lower and the upper halves of words.
  __device__ void mix_piece(int piece,
                            const std::uint32_t (&low)[2][ValuePieces::kPairs],
                            const std::uint32_t (&high)[2][ValuePieces::kPairs],
                            uint2 operand) {
#pragma unroll
    for (int i = 0; i < ValuePieces::kPairs; ++i) {
      const unsigned a[4] = {low[0][i], high[0][i], low[1][i], high[1][i]};
      multiply(mixed[piece * ValuePieces::kPairs + i], a, operand, typename ValuePlaces::Element{});
    }
  }

  /// The weights of a tile as an operand.
  [[nodiscard]] __device__ static uint2 weights_of(const float (&own)[4]) {
    using Element = typename ValuePlaces::Element;
    return make_uint2(transposed(pack_pair(own[0], own[1], Element{})),
                      transposed(pack_pair(own[2], own[3], Element{})));
  }

  /// Leaves the warp's sums in shared memory.
  __device__ void leave(const WarpParts& parts) const {
#pragma unroll
    for (int q = 0; q < 2; ++q) {
      const int at = warp() * kGroup + 2 * spot + q;
      float weight = weights[q];
#pragma unroll
      for (int step = 4; step < kWarp; step *= 2) {
        weight += __shfl_xor_sync(kAllLanes, weight, step);
      }
      if (2 * spot + q >= work.queries) {
        continue;
      }
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int channel =
            ValuePieces::channel(step / ValuePieces::kPairs, step % ValuePieces::kPairs, quad);
        parts.sums[at * Dim + channel] = mixed[step][q];
        parts.sums[at * Dim + channel + ValuePieces::kApart] = mixed[step][2 + q];
      }
      parts.largest[at] = largest[q];
      parts.weights[at] = weight;
    }
  }
};

}  // namespace kvg::kernels
