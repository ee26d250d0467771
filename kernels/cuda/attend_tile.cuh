#pragma once

#include <algorithm>

#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_places.cuh"
#include "kernels/cuda/attend_ring.cuh"
#include "kernels/cuda/mma.cuh"

// What a warp of decode attention does with matrix units, for up to eight queries at once: 16 slots
// of keys times the queries, and 16 channels of values times the weights of 16 slots. Rows come
// through rings in shared memory (attend_ring.cuh) as they are stored and become operands in
// registers: which channels meet in a product is free, so a lane takes those that lie together.

namespace kvg::kernels {

template <FormClass KeyClass, FormClass ValueClass, int Dim, bool Paged>
struct AttendTile {
  static constexpr int kGroup = 8;
  using KeyPieces = RowPieces<KeyClass, Dim, 4>;
  using ValuePieces = RowPieces<ValueClass, Dim, 8>;
  using KeyPlaces = Places<KeyClass>;
  using ValuePlaces = Places<ValueClass>;
  static constexpr int kSteps = Dim / 16;
  static constexpr bool kKeyScales = has_scales(KeyClass);
  static constexpr bool kValueScales = has_scales(ValueClass);
  using KeyRows = StagedRows<KeyPieces::kRowBytes, Dim, kKeyScales>;
  using ValueRows = StagedRows<ValuePieces::kRowBytes, Dim, kValueScales>;
  static constexpr int kStageBytes = KeyRows::kBytes + ValueRows::kBytes;
  static constexpr int kThreads = kStageBytes > 6 * 1024 ? 384 : 512;
  static constexpr int kBlocks = 1;  ///< of a multiprocessor, whose shared memory it fills
  static constexpr int kWarpRoom = 192 * 1024 / (kThreads / kWarp);
  static constexpr int kStages = std::clamp(kWarpRoom / kStageBytes, 2, 8);
  using Stages = TileStages<kStageBytes, kStages>;
  /// How far a score may pass the largest before sums are scaled down, and how far above 1 the
  /// weight of the largest is: weights stay below 2^14, and f16 holds those down to 2^-30 of the
  /// largest.
  static constexpr float kSlack = 8.0F;
  static constexpr float kLift = 6.0F;

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
  const uint2* queries;  ///< in shared memory: [sets][kSteps][kWarp]
  unsigned key_apart;    ///< of scales, as RowCopy has it
  unsigned value_apart;  ///< likewise
  RowCopy copy;          ///< this lane's
  Stages stages;
  float mixed[kSteps][4] = {};  ///< sums of weight x value
  float largest[2] = {kLeast, kLeast};
  float weights[2] = {};

  /// Floats of shared memory before the queries as stage_queries() leaves them.
  __host__ __device__ static constexpr int staged_floats(int head_dim) {
    return 2 * head_dim / 16 * kWarp * 2;
  }
  static constexpr int kSets = 2;
  /// Bytes behind the queries.
  static constexpr int kRingBytes = kThreads / kWarp * Stages::kBytes;

  __device__ AttendTile(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        float* shared)
      : args(kernel_args),
        work(block_work),
        queries(reinterpret_cast<const uint2*>(shared) + lane),
        key_apart(static_cast<unsigned>(work.key_row * args.keys.scale_row_bytes) % 16U),
        value_apart(static_cast<unsigned>(work.row * args.values.scale_row_bytes) % 16U),
        stages(ring(shared), barriers()) {
    constexpr int kValues = KeyRows::kBytes;
    if (lane == 0) {
      copy = RowCopy(args.keys.codes, work.key_row, KeyPieces::kRowBytes, 0);
    } else if (lane == 1) {
      copy =
          RowCopy(args.keys.scales, work.key_row, args.keys.scale_row_bytes, KeyRows::kCodeBytes);
    } else if (lane == 2) {
      copy = RowCopy(args.values.codes, work.row, ValuePieces::kRowBytes, kValues);
    } else if (lane == 3) {
      copy = RowCopy(args.values.scales,
                     work.row,
                     args.values.scale_row_bytes,
                     kValues + ValueRows::kCodeBytes);
    }
  }

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ static std::uint8_t* ring(float* shared) {
    return reinterpret_cast<std::uint8_t*>(shared + staged_floats(Dim) + kSets * kGroup * Dim) +
           warp() * Stages::kBytes;
  }
  __device__ static std::uint64_t* barriers() {
    __shared__ std::uint64_t full[kThreads / kWarp][kStages];
    return full[warp()];
  }

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
    float* sets = shared + staged_floats(Dim);
    stage_queries<kGroup, kThreads>(args, work, {.sets = sets});
    auto* operands = reinterpret_cast<uint2*>(shared);
    const int count = (args.sinks > 0 ? 2 : 1) * kSteps * kWarp;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
      const int step = i / kWarp % kSteps;
      const float* row =
          sets + (i / (kWarp * kSteps) * kGroup + i % kWarp / 4) * static_cast<std::ptrdiff_t>(Dim);
      std::uint32_t pair[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = 2 * step + half;
        const int channel =
            KeyPieces::channel(at / KeyPieces::kPairs, at % KeyPieces::kPairs, i % 4);
        pair[half] = pack_pair(
            row[channel], row[channel + KeyPieces::kApart], typename KeyPlaces::Element{});
      }
      operands[i] = make_uint2(pair[0], pair[1]);
    }
    __syncthreads();
  }

  /// products[slot quad, 8 further][queries 2 spot, one further] of a tile's keys.
  __device__ void multiply_keys(int set, float (&products)[4]) const {
    float odd[4] = {};
#pragma unroll
    for (int piece = 0; piece < KeyPieces::kCount; ++piece) {
      std::uint32_t pairs[2][KeyPieces::kPairs];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int slot = quad + 8 * half;
        std::uint32_t words[KeyPieces::kWords];
        read_words(
            stages.reading() + slot * KeyPieces::kRowBytes + (piece * 4 + spot) * KeyPieces::kBytes,
            words);
        spread_piece<KeyPlaces>(args.keys, words, pairs[half]);
        if constexpr (kKeyScales) {
          const std::uint32_t own = scale_halves<KeyClass>(
              args.keys,
              KeyRows::scale(args.keys,
                             stages.reading(),
                             key_apart,
                             make_int2(slot, KeyPieces::channel(piece, 0, spot))));
          scale_pairs(pairs[half], lower_halves(own, own), upper_halves(own, own));
        }
      }
#pragma unroll
      for (int i = 0; i < KeyPieces::kPairs / 2; ++i) {
        const unsigned a[4] = {
            pairs[0][2 * i], pairs[1][2 * i], pairs[0][2 * i + 1], pairs[1][2 * i + 1]};
        const int step = piece * KeyPieces::kPairs / 2 + i;
        multiply(step % 2 == 0 ? products : odd,
                 a,
                 queries[(set * kSteps + step) * kWarp],
                 typename KeyPlaces::Element{});
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      products[i] += odd[i];
    }
  }

  /// Scores of base 2; -infinity for what is not there.
  __device__ void score_tile(const Tile& tile, float (&scores)[4]) const {
    const int slots[2] = {tile.slot + quad, tile.slot + quad + 8};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[i] = 0.0F;
    }
    multiply_keys(0, scores);
    if (tile.slot < args.sinks) {
      float of_sinks[4] = {};
      multiply_keys(1, of_sinks);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[i] = slots[i / 2] < args.sinks ? of_sinks[i] : scores[i];
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

  __device__ void mix_tile(const Tile& tile, const float (&own)[4]) {
    using Element = typename ValuePlaces::Element;
    const uint2 operand = make_uint2(transposed(pack_pair(own[0], own[1], Element{})),
                                     transposed(pack_pair(own[2], own[3], Element{})));
#pragma unroll
    for (int piece = 0; piece < ValuePieces::kCount; ++piece) {
      std::uint32_t low[2][ValuePieces::kPairs];
      std::uint32_t high[2][ValuePieces::kPairs];
      spread_values(tile, piece, low, high);
#pragma unroll
      for (int i = 0; i < ValuePieces::kPairs; ++i) {
        const unsigned a[4] = {low[0][i], high[0][i], low[1][i], high[1][i]};
        multiply(mixed[piece * ValuePieces::kPairs + i], a, operand, Element{});
      }
    }
  }

  /// Of the first and the second two slots of a lane: pairs of slots, of the channels in the lower
  /// and in the upper halves of words.
  __device__ void spread_values(const Tile& tile,
                                int piece,
                                std::uint32_t (&low)[2][ValuePieces::kPairs],
                                std::uint32_t (&high)[2][ValuePieces::kPairs]) const {
#pragma unroll
    for (int two = 0; two < 2; ++two) {
      const int slot = 2 * spot + 8 * two;
      std::uint32_t first[ValuePieces::kWords];
      std::uint32_t second[ValuePieces::kWords];
      const int at = (piece * 8 + quad) * ValuePieces::kBytes;
      read_words(value_stage() + slot * ValuePieces::kRowBytes + at, first);
      read_words(value_stage() + (slot + 1) * ValuePieces::kRowBytes + at, second);
      std::uint32_t lower[ValuePieces::kWords];
      std::uint32_t upper[ValuePieces::kWords];
#pragma unroll
      for (int word = 0; word < ValuePieces::kWords; ++word) {
        lower[word] = lower_halves(first[word], second[word]);
        upper[word] = upper_halves(first[word], second[word]);
      }
      spread_piece<ValuePlaces>(args.values, lower, low[two]);
      spread_piece<ValuePlaces>(args.values, upper, high[two]);
      if constexpr (kValueScales) {
        const std::uint32_t a = value_scale(tile, slot, piece);
        const std::uint32_t b = value_scale(tile, slot + 1, piece);
        scale_pairs(low[two], lower_halves(a, b), upper_halves(a, b));
        scale_pairs(high[two], lower_halves(a, b), upper_halves(a, b));
      }
    }
  }

  [[nodiscard]] __device__ const std::uint8_t* value_stage() const {
    return stages.reading() + KeyRows::kBytes;
  }

  /// Where there is no slot there may be anything, and a weight of 0 does not make it a number.
  [[nodiscard]] __device__ std::uint32_t value_scale(const Tile& tile, int slot, int piece) const {
    const std::uint32_t stored =
        ValueRows::scale(args.values,
                         value_stage(),
                         value_apart,
                         make_int2(slot, ValuePieces::channel(piece, 0, quad)));
    return slot < tile.count ? scale_halves<ValueClass>(args.values, stored) : 0;
  }

  /// This warp's chunk of the entries; queries are staged while the first rows are under way.
  __device__ void attend(float* shared) {
    constexpr int kStep = kThreads / kWarp * kTileSlots;
    const int first = work.begin + warp() * kTileSlots;
    __syncwarp();
#pragma unroll 1
    for (int ahead = 0; ahead < kStages; ++ahead) {
      issue(first + ahead * kStep);
    }
    stage(shared);
    for (int at = first; at < work.end; at += kStep) {
      const Tile tile = tile_at(at);
      if (tile.count > 0) {
        float scores[4];
        stages.wait();
        score_tile(tile, scores);
        weigh(scores);
        mix_tile(tile, scores);
        stages.release();
      }
      issue(at + kStages * kStep);
    }
  }

  /// Asks for the tile that starts at `at`, if there is one.
  __device__ void issue(int at) {
    if (at >= work.end) {
      return;
    }
    const Tile tile = tile_at(at);
    if (tile.count == 0) {
      return;
    }
    if (tile.count < kTileSlots) {
      ValueRows::pad(stages.filling() + KeyRows::kBytes, tile.count);
    }
    stages.fill(copy, tile.slot, tile.count);
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
