#pragma once

#include "kernels/cuda/attend_rows.cuh"

// What a lane of decode attention does. `args.lanes` lanes of a warp share a row, C channels each,
// and a warp takes several rows at once; every set of lanes that shares rows runs an online softmax
// of its own. Codes go from memory to registers: a tile's values are on their way while its keys
// are scored, the next tile's keys while its values are mixed.

namespace kvg::kernels {

template <FormClass Keys, FormClass Values, int C, int Group, bool Paged>
struct AttendLane : LaneRows<Keys, Values, C, Group, Paged> {
  static constexpr int kGroup = Group;
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kBlocks = 3;  ///< of a multiprocessor
  static constexpr bool kWaits = is_pruned(Keys) || is_per_channel(Keys);
  /// How far a score may pass the largest before sums are scaled down: weights stay below 2^8.
  static constexpr float kSlack = 8.0F;
  using Rows = LaneRows<Keys, Values, C, Group, Paged>;
  using Tile = typename Rows::Tile;
  using Rows::args;
  using Rows::channel;
  using Rows::end;
  using Rows::kChannelScales;
  using Rows::key_scales;
  using Rows::key_stored;
  using Rows::keys;
  using Rows::kKeyScales;
  using Rows::kRows;
  using Rows::kValueScales;
  using Rows::load_keys;
  using Rows::load_values;
  using Rows::present;
  using Rows::row;
  using Rows::seen;
  using Rows::share;
  using Rows::slot;
  using Rows::tile_at;
  using Rows::tile_rows;
  using Rows::value_stored;
  using Rows::values;
  using Rows::work;

  int packed_keys = work.packed_keys;
  int packed_values = work.packed_values;
  const float* sets;          ///< queries, as stage_queries() leaves them
  const float* key_levels;    ///< this lane's column
  const float* value_levels;  ///< likewise
  std::uint32_t exponent = args.unit_exponent;
  float query[Group][C];   ///< over place_weight(); kChannelScales: times the scales of `held`
  float query_sum[Group];  ///< of the query; kChannelScales: times the zeros of `held`
  int held = -1;           ///< group of slots
  float mixed[Group][C];   ///< sum of weight x value, times place_weight(), without zeros
  float zeros[Group];      ///< sum of weight x zero
  float largest[Group];    ///< score from which weights are counted
  float weights[Group];    ///< sum of weights

  /// Levels of keys and values: floats of shared memory before the queries.
  __host__ __device__ static constexpr int staged_floats(int) {
    return (is_table(Keys) ? kWarp << bits_of(Keys) : 0) +
           (is_table(Values) ? kWarp << bits_of(Values) : 0);
  }
  static constexpr int kSets = kWaits ? 4 : 2;
  static constexpr int kRingBytes = 0;

  __device__ AttendLane(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        const float* shared)
      : Rows(kernel_args, block_work),
        sets(shared + staged_floats(0)),
        key_levels(shared + threadIdx.x % kWarp),
        value_levels(key_levels + (is_table(Keys) ? kWarp << bits_of(Keys) : 0)) {
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      largest[g] = kLeast;
      weights[g] = 0.0F;
      zeros[g] = 0.0F;
#pragma unroll
      for (int c = 0; c < C; ++c) {
        mixed[g][c] = 0.0F;
      }
    }
  }

  __device__ static int warp() {
    return static_cast<int>(threadIdx.x) / kWarp;
  }

  /// After stage_queries().
  __device__ void take_queries() {
    if constexpr (!kChannelScales) {
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        query_sum[g] = 0.0F;
#pragma unroll
        for (int c = 0; c < C; ++c) {
          const float q = query_at(0, g, c);
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
        const float q = query_at(0, g, c);
        query[g][c] = q * (1.0F / Codes<Keys, C>::place_weight(c)) * pair[0];
        query_sum[g] = fmaf(q, pair[1], query_sum[g]);
      }
    }
  }

  __device__ void score_tile(const Tile& tile, float (&scores)[kRows][Group]) {
    bool some_apart = false;
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
      some_apart = some_apart || is_apart(slot(tile, r));
    }
    if (some_apart) {
      score_apart_rows(tile, scores);
    }
  }

  [[nodiscard]] __device__ bool is_apart(int entry) const {
    return entry < args.sinks || (kWaits && entry >= packed_keys);
  }

  /// Through local memory rather than unrolled: such rows are few, and code that is seldom run
  /// should not push the loop out of the instruction cache.
  __device__ void score_apart_rows(const Tile& tile, float (&scores)[kRows][Group]) const {
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
      const bool waiting = kWaits && slots[r] >= packed_keys;
      const ApartRow apart = {.slot = slots[r],
                              .waiting = waiting,
                              .set = (waiting ? 2 : 0) + (slots[r] < args.sinks ? 1 : 0),
                              .first = present ? share * C : args.shape.head_dim,
                              .count = C};
#pragma unroll 1
      for (int g = 0; g < Group && is_apart(slots[r]); ++g) {
        const float* query_row = sets + (apart.set * Group + g) * args.shape.head_dim;
        all[r][g] = score_apart(args, work, apart, query_row);
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

  /// Turns scores into weights.
  __device__ void weigh(float (&scores)[kRows][Group]) {
    float most[Group];
    bool passes = false;
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      most[g] = scores[0][g];
#pragma unroll
      for (int r = 1; r < kRows; ++r) {
        most[g] = fmaxf(most[g], scores[r][g]);
      }
      passes = passes || most[g] > largest[g] + kSlack;
    }
    if (passes) {
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        const float next = fmaxf(largest[g], most[g]);
        const float decay = exp2_of(largest[g] - next);
        largest[g] = next;
        weights[g] *= decay;
        zeros[g] *= decay;
#pragma unroll
        for (int c = 0; c < C; ++c) {
          mixed[g][c] *= decay;
        }
      }
    }
#pragma unroll
    for (int g = 0; g < Group; ++g) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        scores[r][g] = exp2_of(scores[r][g] - largest[g]);
        weights[g] += scores[r][g];
      }
    }
  }

  __device__ void mix_tile(const Tile& tile, const float (&tile_weights)[kRows][Group]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[C];
      values[r].widen(args.values, value_levels, exponent, x);
      Affine own = {1.0F, 0.0F};
      if constexpr (kValueScales) {
        own = affine_of<Values>(args.values, value_stored.stored[r]);
      }
      if constexpr (kWaits) {
        if (slot(tile, r) >= packed_values) {
          wait_for_value(slot(tile, r), x);
          own = {1.0F, 0.0F};
        }
      }
#pragma unroll
      for (int g = 0; g < Group; ++g) {
        const float weight = kValueScales ? tile_weights[r][g] * own.scale : tile_weights[r][g];
        if constexpr (kValueScales) {
          zeros[g] = fmaf(tile_weights[r][g], own.zero, zeros[g]);
        }
#pragma unroll
        for (int c = 0; c < C; ++c) {
          mixed[g][c] = fmaf(weight, x[c], mixed[g][c]);
        }
      }
    }
  }

  /// A value that is not packed yet, as widen() would yield it.
  __device__ void wait_for_value(int entry, float (&x)[C]) const {
    const std::int64_t from =
        work.head * args.values.waiting_slots + entry % args.values.waiting_slots;
    load_waiting(args.values.waiting, args.compute, from * args.shape.head_dim + channel, x);
#pragma unroll
    for (int c = 0; c < C; ++c) {
      x[c] *= Codes<Values, C>::place_weight(c);
    }
  }

  __device__ void stage(float* shared) {
    if constexpr (is_table(Keys)) {
      stage_levels<kThreads>(args.keys.form, shared);
    }
    if constexpr (is_table(Values)) {
      stage_levels<kThreads>(args.values.form,
                             shared + (is_table(Keys) ? kWarp << bits_of(Keys) : 0));
    }
    stage_queries<Group, kThreads>(
        args,
        work,
        {.sets = shared + staged_floats(0), .factor = args.scale * kLog2E, .waits = kWaits});
    __syncthreads();
    take_queries();
  }

  /// This warp's chunk of the entries; queries are staged while the first loads are under way.
  __device__ void attend(float* shared) {
    const int first = work.begin + warp() * tile_rows();
    Tile tile = tile_at(first);
    if (first < end) {
      load_keys(tile);
      load_values(tile);
    }
    stage(shared);
    for (int at = first; at < end; at += kWarps * tile_rows()) {
      const int next_at = at + kWarps * tile_rows();
      const Tile next = tile_at(next_at);
      float scores[kRows][Group];
      score_tile(tile, scores);
      if (next_at < end) {
        load_keys(next);
      }
      gather_scores(tile, scores);
      weigh(scores);
      mix_tile(tile, scores);
      if (next_at < end) {
        load_values(next);
      }
      tile = next;
    }
  }

  /// Adds up the warp's rows and leaves them in shared memory.
  __device__ void leave(const WarpParts& parts) {
    const int dim = args.shape.head_dim;
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      float most = largest[g];
      for (int step = args.lanes; step < kWarp; step *= 2) {
        most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, step));
      }
      const float decay = exp2_of(largest[g] - most);
      float weight = weights[g] * decay;
#pragma unroll
      for (int c = 0; c < C; ++c) {
        mixed[g][c] = fmaf(mixed[g][c], 1.0F / Codes<Values, C>::place_weight(c), zeros[g]) * decay;
      }
      for (int step = args.lanes; step < kWarp; step *= 2) {
        weight += __shfl_xor_sync(kAllLanes, weight, step);
#pragma unroll
        for (int c = 0; c < C; ++c) {
          mixed[g][c] += __shfl_xor_sync(kAllLanes, mixed[g][c], step);
        }
      }
      if (row == 0 && present) {
#pragma unroll
        for (int c = 0; c < C; ++c) {
          parts.sums[(warp() * Group + g) * dim + channel + c] = mixed[g][c];
        }
        parts.largest[warp() * Group + g] = most;
        parts.weights[warp() * Group + g] = weight;
      }
    }
  }
};

}  // namespace kvg::kernels
