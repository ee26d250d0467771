#pragma once

#include "kernels/cuda/attend_rows.cuh"

// What a lane of decode attention makes of keys: the queries it holds, and a tile's scores.

namespace kvg::kernels {

template <FormClass Keys, FormClass Values, int C, int Group, bool Paged>
struct LaneScores : LaneRows<Keys, Values, C, Group, Paged> {
  static constexpr bool kWaits = is_pruned(Keys) || is_per_channel(Keys);
  using Rows = LaneRows<Keys, Values, C, Group, Paged>;
  using Tile = typename Rows::Tile;
  using Rows::args;
  using Rows::channel;
  using Rows::kChannelScales;
  using Rows::key_scales;
  using Rows::key_stored;
  using Rows::keys;
  using Rows::kKeyScales;
  using Rows::kRows;
  using Rows::present;
  using Rows::seen;
  using Rows::share;
  using Rows::slot;
  using Rows::work;

  int packed_keys = work.packed_keys;
  float* sets;              ///< queries, as stage_queries() leaves them
  const float* key_levels;  ///< this lane's column
  std::uint32_t exponent = args.unit_exponent;
  float query[Group][C];   ///< over place_weight(); kChannelScales: times the scales of `held`
  float query_sum[Group];  ///< of the query; kChannelScales: times the zeros of `held`
  int taken = 0;           ///< set of queries: 1 for sinks
  int held = -1;           ///< group of slots

  /// Floats of shared memory before the queries: levels of keys, then of values.
  __host__ __device__ static constexpr int key_level_floats() {
    return is_table(Keys) ? kWarp << bits_of(Keys) : 0;
  }
  __host__ __device__ static constexpr int staged_floats(int) {
    return key_level_floats() + (is_table(Values) ? kWarp << bits_of(Values) : 0);
  }
  static constexpr int kSets = kWaits ? 4 : 2;
  static constexpr int kThreads = 128;
  /// Bytes behind the queries: kept scores, [kRows][Group][kThreads].
  static constexpr int kRingBytes = 4 * kThreads * kRows * Group;

  __device__ LaneScores(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        float* shared)
      : Rows(kernel_args, block_work),
        sets(shared + staged_floats(0)),
        key_levels(shared + threadIdx.x % kWarp) {}

  /// Takes a set of queries, as stage_queries() leaves them.
  __device__ void take_queries(int set) {
    taken = set;
    held = -1;
    if constexpr (!kChannelScales) {
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        query_sum[g] = 0.0F;
#pragma unroll
        for (int c = 0; c < C; ++c) {
          const float q = query_at(set, g, c);
          query[g][c] = q * (1.0F / Codes<Keys, C>::place_weight(c));
          query_sum[g] += q;
        }
      }
    }
  }

  /// Element of a set of queries; 0 in lanes beyond the row.
  [[nodiscard]] __device__ float query_at(int set, int g, int c) const {
    const float q = sets[(set * Group + g) * args.shape.head_dim + channel + c];
    return present ? q : 0.0F;
  }

  /// kChannelScales: folds the scales of the group that holds `entry` into the queries.
  __device__ void hold_scales(int entry) {
    const int group = entry / args.keys.group;
    if (group == held) {
      return;
    }
    held = group;
    std::uint32_t stored[C];
    load_words<4 * C>(
        key_scales + static_cast<std::int64_t>(group) * args.keys.scale_row_bytes + channel * 4,
        stored);
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      query_sum[g] = 0.0F;
    }
#pragma unroll
    for (int c = 0; c < C; ++c) {
      float pair[2];
      widen_word(stored[c], pair, __half{});
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        const float q = query_at(taken, g, c);
        query[g][c] = q * (1.0F / Codes<Keys, C>::place_weight(c)) * pair[0];
        query_sum[g] = fmaf(q, pair[1], query_sum[g]);
      }
    }
  }

  __device__ void score_tile(const Tile& tile, float (&scores)[kRows][Group]) {
    score_stored(tile, scores);
    if constexpr (kWaits) {
      bool some_waiting = false;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        some_waiting = some_waiting || slot(tile, r) >= packed_keys;
      }
      if (some_waiting) {
        score_waiting(tile, scores);
      }
    }
  }

  __device__ void score_stored(const Tile& tile, float (&scores)[kRows][Group]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[C];
      keys[r].widen(args.keys, key_levels, exponent, x);
      if constexpr (kChannelScales) {
        hold_scales(slot(tile, r));
      }
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        const float product = dot(query[g], x);
        if constexpr (kKeyScales) {
          const Affine scale = affine_of<Keys>(args.keys, key_stored.stored[r]);
          scores[r][g] = fmaf(scale.scale, product, scale.zero * query_sum[g]);
        } else {
          scores[r][g] = kChannelScales ? product + query_sum[g] : product;
        }
      }
    }
  }

  /// Of rows that wait. Through local memory rather than unrolled: such rows are few, and code that
  /// is seldom run should not push the loop out of the instruction cache.
  __device__ void score_waiting(const Tile& tile, float (&scores)[kRows][Group]) const {
    int slots[kRows];
    float all[kRows][Group];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      slots[r] = slot(tile, r);
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        all[r][g] = scores[r][g];
      }
    }
#pragma unroll 1
    for (int r = 0; r < kRows; ++r) {
      if (slots[r] < packed_keys) {
        continue;
      }
      float x[C];
      load_row(args.keys, slots[r], x);
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        float own[C];
#pragma unroll
        for (int c = 0; c < C; ++c) {
          own[c] = query_at(2 + taken, g, c);
        }
        all[r][g] = dot(own, x);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        scores[r][g] = all[r][g];
      }
    }
  }

  /// This lane's channels of a row that waits.
  __device__ void load_row(const AttendSide& side, int entry, float (&x)[C]) const {
    const std::int64_t from = work.head * side.waiting_slots + entry % side.waiting_slots;
    load_waiting(side.waiting, args.compute, from * args.shape.head_dim + channel, x);
  }

  /// Whether the tile that starts at `at` may have sinks, which meet other queries: it is scored
  /// twice. Pages may list sinks anywhere.
  [[nodiscard]] __device__ bool meets_sinks(int at) const {
    return Paged ? args.sinks > 0 : at < args.sinks;
  }
  [[nodiscard]] __device__ float* kept() const {
    return sets + kSets * Group * args.shape.head_dim + threadIdx.x;
  }
  __device__ void keep_scores(const float (&scores)[kRows][Group]) const {
#pragma unroll
    for (int i = 0; i < kRows * Group; ++i) {
      kept()[i * kThreads] = scores[i / Group][i % Group];
    }
  }
  __device__ void restore_sinks(const Tile& tile, float (&scores)[kRows][Group]) const {
#pragma unroll
    for (int i = 0; i < kRows * Group; ++i) {
      if (slot(tile, i / Group) < args.sinks) {
        scores[i / Group][i % Group] = kept()[i * kThreads];
      }
    }
  }

  /// Adds up the lanes of a row, hides what is not there, and writes scores that are wanted.
  __device__ void gather_scores(const Tile& tile, float (&scores)[kRows][Group]) const {
    for (int step = args.lanes / 2; step > 0; step /= 2) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int g = 0; g < Group; ++g) {
          scores[r][g] += __shfl_xor_sync(kAllLanes, scores[r][g], step);
        }
      }
    }
    if (args.scores != nullptr && share == 0) {
      write_scores(tile, scores);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const bool is_seen = seen(tile, r);
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        scores[r][g] = is_seen ? scores[r][g] : -INFINITY;
      }
    }
  }

  __device__ void write_scores(const Tile& tile, const float (&scores)[kRows][Group]) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float* out = args.scores + work.first_query * args.capacity + slot(tile, r);
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        if (seen(tile, r) && g < work.queries) {
          out[g * args.capacity] = scores[r][g] * (1.0F / kLog2E);
        }
      }
    }
  }
};

}  // namespace kvg::kernels
