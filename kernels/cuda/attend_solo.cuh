#pragma once

#include <algorithm>

#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_codes.cuh"
#include "kernels/cuda/attend_places.cuh"
#include "kernels/cuda/attend_ring.cuh"
#include "kernels/cuda/mma.cuh"

// Decode attention of one query a kv_head over integer codes, on matrix units. Codes are operands
// as they lie in their words: an f16 whose low bits are a code is that code times 2^-24, and times
// 2^-20 where it lies four bits further up. What tells one code from another group's is the column
// of the other operand: the four quarters of a row, each of which has one scale, have a column
// each, so that products come apart by quarter and scales meet them in f32.

namespace kvg::kernels {

/// Codes of one side as operands.
template <FormClass Class>
struct SoloCodes {
  static constexpr int kBits = bits_of(Class);
  /// Pairs that a word yields: what its two halves have at one place.
  static constexpr int kPairs = 16 / kBits;

  __device__ static void spread(std::uint32_t word, std::uint32_t (&pairs)[kPairs]) {
    const std::uint32_t further = word >> 8U;
    if constexpr (kBits == 8) {
      pairs[0] = word & 0x00FF00FFU;
      pairs[1] = further & 0x00FF00FFU;
    } else {
      pairs[0] = word & 0x000F000FU;
      pairs[1] = word & 0x00F000F0U;
      pairs[2] = further & 0x000F000FU;
      pairs[3] = further & 0x00F000F0U;
    }
  }
  /// What a code of pair `pair` is multiplied by, over 2^-24.
  __host__ __device__ static constexpr float weight(int pair) {
    return kBits == 4 && pair % 2 == 1 ? 16.0F : 1.0F;
  }
  /// Scale and zero of codes counted from 0.
  __device__ static Affine affine(const AttendSide& side, std::uint32_t stored) {
    const Affine own = affine_of<Class>(side, stored);
    return {own.scale, own.zero - (side.origin[0] - 8388608.0F) * own.scale};
  }
};

/// Blocks of a multiprocessor that AttendSolo has registers for.
constexpr int solo_blocks(FormPair pair) {
  return bits_of(pair.keys) + bits_of(pair.values) > 8 ? 3 : 4;
}

template <FormClass KeyClass, FormClass ValueClass, int Dim, bool Paged>
struct AttendSolo {
  static constexpr int kGroup = 1;
  static constexpr int kChunkUnit = kMinChunk;
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kBlocks = solo_blocks({KeyClass, ValueClass});
  static constexpr int kSets = 2;
  static constexpr int kRingBytes = 0;
  static constexpr int kSteps = Dim / 16;
  using KeyCodes = SoloCodes<KeyClass>;
  using ValueCodes = SoloCodes<ValueClass>;
  static constexpr int kKeyBytes = Dim * KeyCodes::kBits / 8;      ///< of a row
  static constexpr int kValueBytes = Dim * ValueCodes::kBits / 8;  ///< likewise
  static constexpr int kKeyWords = kKeyBytes / 16;                 ///< of a quarter
  static constexpr int kValueWords = kValueBytes / 32;             ///< of an eighth
  static constexpr float kUnit = 16777216.0F;                      ///< 2^24
  /// As in AttendTile: weights stay below 2^15, the value's scale included.
  static constexpr float kSlack = 8.0F;
  static constexpr float kLift = 64.0F;

  /// Slots that follow one another. `count` of 0: there is nothing to see.
  struct Tile {
    int slot;
    int count;
  };
  struct Keys {
    std::uint32_t words[2][kKeyWords];
    Scales<KeyClass, 2> scales;
  };
  struct Values {
    std::uint32_t words[4][kValueWords];
    Scales<ValueClass, 2> scales;
  };

  const AttendKernelArgs& args;
  const BlockWork& work;  ///< in shared memory
  int lane = static_cast<int>(threadIdx.x) % kWarp;
  int quad = lane / 4;   ///< slot of keys and weights, channels of values
  int spot = lane % 4;   ///< quarter of keys and of scales, slots of values
  const uint2* queries;  ///< in shared memory: [sets][kSteps][kWarp]
  int taken = 0;         ///< set of queries: 1 for sinks
  float query_sum = 0.0F;
  const std::uint8_t* key_codes;     ///< of this lane, in the head's first row
  const std::uint8_t* key_scales;    ///< likewise
  const std::uint8_t* value_codes;   ///< likewise
  const std::uint8_t* value_scales;  ///< likewise
  Keys keys;
  Values values;
  float mixed[kSteps][4] = {};  ///< sums of weight x code
  float zeros = 0.0F;           ///< sum of weight x zero, of a quarter
  float largest = kLeast;
  float weights = 0.0F;
  float unit = 0.0F;  ///< a power of two that brings the scales of values to 1 at most

  /// Floats of shared memory before the queries as stage_queries() leaves them.
  __host__ __device__ static constexpr int staged_floats(int head_dim) {
    return 2 * head_dim / 16 * kWarp * 2;
  }

  __device__ AttendSolo(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        const float* shared)
      : args(kernel_args),
        work(block_work),
        queries(reinterpret_cast<const uint2*>(shared) + lane),
        key_codes(args.keys.codes + work.key_row * kKeyBytes + spot * (4 * kKeyWords)),
        key_scales(scales_of(args.keys, work.key_row)),
        value_codes(args.values.codes + work.row * kValueBytes + quad * (4 * kValueWords)),
        value_scales(scales_of(args.values, work.row)) {}

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }

  [[nodiscard]] __device__ Tile tile_at(int at) const {
    if constexpr (Paged) {
      if (at >= work.end) {
        return {0, 0};
      }
      const std::int32_t page =
          args.pages.pages[work.head * args.pages.count + (at >> args.page_shift)];
      const int slot = (page << args.page_shift) + (at & (args.pages.page - 1));
      const int count = page < 0 ? 0 : min(max(work.entries - slot, 0), kTileSlots);
      return {count > 0 ? slot : 0, count};
    } else {
      return {at < work.end ? at : 0, min(max(work.end - at, 0), kTileSlots)};
    }
  }

  /// A slot with an entry even where there is nothing to see.
  [[nodiscard]] __device__ static unsigned slot(const Tile& tile, int i) {
    return static_cast<unsigned>(tile.slot + min(i, max(tile.count - 1, 0)));
  }

  /// Scales of this lane's quarter in a head's first row.
  [[nodiscard]] __device__ const std::uint8_t* scales_of(const AttendSide& side,
                                                         std::int64_t first_row) const {
    return side.scales + first_row * side.scale_row_bytes +
           spot * (Dim / 4) / side.group * side.scale_bytes;
  }

  __device__ void load_keys(const Tile& tile) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      load_words<4 * kKeyWords>(key_codes + slot(tile, quad + 8 * i) * kKeyBytes, keys.words[i]);
    }
    keys.scales.load(args.keys, [&](int i) {
      return key_scales + slot(tile, quad + 8 * i) * args.keys.scale_row_bytes;
    });
  }

  __device__ void load_values(const Tile& tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      load_words<4 * kValueWords>(
          value_codes + slot(tile, 2 * spot + i % 2 + i / 2 * 8) * kValueBytes, values.words[i]);
    }
    values.scales.load(args.values, [&](int i) {
      return value_scales + slot(tile, quad + 8 * i) * args.values.scale_row_bytes;
    });
  }

  /// Queries to operands, in f16: a lane has those of the quarter whose column is its own.
  __device__ void stage(float* shared) const {
    float* sets = shared + staged_floats(Dim);
    stage_queries<kGroup, kThreads>(args, work, {.sets = sets});
    auto* operands = reinterpret_cast<uint2*>(shared);
    const int count = (args.sinks > 0 ? 2 : 1) * kSteps * kWarp;
    constexpr int kPairs = KeyCodes::kPairs;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
      const int quarter = i % 4;
      const bool own = i % kWarp / 4 == 2 * quarter;
      std::uint32_t operand[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int pair = 2 * (i / kWarp % kSteps) + half;
        const float* at = sets + i / (kWarp * kSteps) * Dim + quarter * (Dim / 4) +
                          pair / kPairs * (2 * kPairs) + pair % kPairs;
        const float by = own ? 1.0F / KeyCodes::weight(half) : 0.0F;
        operand[half] = pack_pair(at[0] * by, at[kPairs] * by, __half{});
      }
      operands[i] = make_uint2(operand[0], operand[1]);
    }
    __syncthreads();
  }

  /// Takes a set of queries. The sum is of what the operands hold.
  __device__ void take_queries(int set) {
    taken = set;
    query_sum = 0.0F;
    const uint2* own = queries - lane + (set * kSteps * kWarp + 9 * spot);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint2 pairs = own[step * kWarp];
      float even[2];
      float odd[2];
      widen_word(pairs.x, even, __half{});
      widen_word(pairs.y, odd, __half{});
      query_sum += even[0] + even[1] + (odd[0] + odd[1]) * KeyCodes::weight(1);
    }
  }

  /// Scores of base 2 of the slots `quad` and `quad` + 8 of a tile, the same in the four lanes of a
  /// row; -infinity for what is not shown.
  __device__ void score_tile(const Tile& tile, float (&scores)[2]) const {
    float even[4] = {};
    float odd[4] = {};
    constexpr int kPairs = KeyCodes::kPairs;
#pragma unroll
    for (int word = 0; word < kKeyWords; ++word) {
      std::uint32_t upper[kPairs];
      std::uint32_t lower[kPairs];
      KeyCodes::spread(keys.words[0][word], upper);
      KeyCodes::spread(keys.words[1][word], lower);
#pragma unroll
      for (int i = 0; i < kPairs; i += 2) {
        const int step = (word * kPairs + i) / 2;
        const unsigned a[4] = {upper[i], lower[i], upper[i + 1], lower[i + 1]};
        multiply(step % 2 == 0 ? even : odd, a, queries[(taken * kSteps + step) * kWarp], __half{});
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const Affine affine = KeyCodes::affine(args.keys, keys.scales.stored[i]);
      float score = fmaf(affine.scale * kUnit, even[2 * i] + odd[2 * i], affine.zero * query_sum);
      score += __shfl_xor_sync(kAllLanes, score, 1);
      score += __shfl_xor_sync(kAllLanes, score, 2);
      const int at = quad + 8 * i;
      const bool shown = at < tile.count && (tile.slot + at < args.sinks) == (taken == 1);
      if (args.scores != nullptr && shown && spot == 0) {
        args.scores[work.first_query * args.capacity + tile.slot + at] = score * args.scale;
      }
      scores[i] = shown ? score * (args.scale * kLog2E) : -INFINITY;
    }
  }

  /// Makes room for scores and for scales of values.
  __device__ void raise(float most, float scale) {
    const float next = fmaxf(largest, warp_max(most));
    const float top = fmaxf(warp_max(scale), 1e-30F);
    const std::uint32_t exponent = __float_as_uint(top) & 0x7F800000U;
    const float next_unit =
        unit == 0.0F || top * unit > 1.0F ? __uint_as_float(0x7F000000U - exponent) : unit;
    const float decay = exp2_of(largest - next);
    const float ratio = unit == 0.0F ? 0.0F : next_unit / unit * decay;
    largest = next;
    unit = next_unit;
    weights *= decay;
    zeros *= decay;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      mixed[step][0] *= ratio;
      mixed[step][2] *= ratio;
    }
  }

  /// Turns scores into weights, and adds the values with them.
  __device__ void mix_tile(const float (&scores)[2]) {
    Affine affine[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      affine[i] = ValueCodes::affine(args.values, values.scales.stored[i]);
    }
    const float most = fmaxf(scores[0], scores[1]);
    const float scale = fmaxf(fabsf(affine[0].scale), fabsf(affine[1].scale));
    if (__any_sync(kAllLanes, most > largest + kSlack || scale * unit > 2.0F || unit == 0.0F)) {
      raise(most, scale);
    }
    unsigned operand[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float own = exp2_of(scores[i] - largest);
      weights += own;
      zeros = fmaf(own, affine[i].zero, zeros);
      operand[i] = transposed(pack_pair(own * affine[i].scale * (unit * kLift), 0.0F, __half{}));
    }
    const uint2 b = make_uint2(operand[0], operand[1]);
    constexpr int kPairs = ValueCodes::kPairs;
#pragma unroll
    for (int at = 0; at < 2 * kValueWords; ++at) {
      const auto& words = values.words;
      const int word = at / 2;
      std::uint32_t first[kPairs];
      std::uint32_t second[kPairs];
      ValueCodes::spread(half_words(words[0][word], words[1][word], at % 2), first);
      ValueCodes::spread(half_words(words[2][word], words[3][word], at % 2), second);
#pragma unroll
      for (int i = 0; i < kPairs; i += 2) {
        const unsigned a[4] = {first[i], first[i + 1], second[i], second[i + 1]};
        multiply(mixed[(at * kPairs + i) / 2], a, b, __half{});
      }
    }
  }

  __device__ static std::uint32_t half_words(std::uint32_t a, std::uint32_t b, int half) {
    return half == 0 ? lower_halves(a, b) : upper_halves(a, b);
  }

  /// This warp's chunk of the entries; queries are staged while the first loads are under way.
  __device__ void attend(float* shared) {
    constexpr int kStep = kWarps * kTileSlots;
    const int first = work.begin + warp() * kTileSlots;
    Tile tile = tile_at(first);
    load_keys(tile);
    load_values(tile);
    stage(shared);
    // Sinks meet other queries, so tiles that have some are gone over twice.
    int until = Paged && args.sinks > 0 ? work.end : min(work.end, args.sinks);
    take_queries(first < until ? 1 : 0);
    until = first < until ? until : work.end;
    for (int at = first; at < until;) {
      const bool again = taken == 1 && at + kStep >= until;
      at = again ? first : at + kStep;
      const Tile next = tile_at(at);
      float scores[2];
      score_tile(tile, scores);
      load_keys(next);
      mix_tile(scores);
      load_values(next);
      if (again) {
        take_queries(0);
        until = work.end;
      }
      tile = next;
    }
  }

  /// Leaves the warp's sums in shared memory.
  __device__ void leave(const WarpParts& parts) {
#pragma unroll
    for (int step = 4; step < kWarp; step *= 2) {
      weights += __shfl_xor_sync(kAllLanes, weights, step);
      zeros += __shfl_xor_sync(kAllLanes, zeros, step);
    }
    if (spot == quad / 2) {
      const float by = unit == 0.0F ? 0.0F : kUnit / kLift / unit;
      float* sums = parts.sums + warp() * Dim + quad * (Dim / 8);
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
        sums[2 * i] = fmaf(mixed[i][0], by / ValueCodes::weight(0), zeros);
        sums[2 * i + 1] = fmaf(mixed[i][2], by / ValueCodes::weight(1), zeros);
      }
    }
    if (lane == 0) {
      parts.largest[warp()] = largest;
      parts.weights[warp()] = weights;
    }
  }
};

/// Whether there is an AttendSolo for a class and a head_dim. A quarter of a row has one scale.
constexpr bool has_solo(FormClass form_class, int head_dim) {
  return (form_class == FormClass::kInt8 || form_class == FormClass::kInt4) &&
         (head_dim == 64 || head_dim == 128);
}

}  // namespace kvg::kernels
