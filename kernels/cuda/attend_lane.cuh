#pragma once

#include "kernels/cuda/attend_scores.cuh"

// What a lane of decode attention does. `args.lanes` lanes of a warp share a row, C channels each,
// and a warp takes several rows at once; every set of lanes that shares rows runs an online softmax
// of its own. Codes go from memory to registers: a tile's values are on their way while its keys
// are scored, the next tile's keys while its values are mixed.

namespace kvg::kernels {

template <FormClass Keys, FormClass Values, int C, int Group, bool Paged>
struct AttendLane : LaneScores<Keys, Values, C, Group, Paged> {
  static constexpr int kGroup = Group;
  static constexpr int kChunkUnit = kMinChunk;
  using LaneScores<Keys, Values, C, Group, Paged>::kThreads;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kBlocks = lane_blocks({Keys, Values}, Group);  ///< of a multiprocessor
  /// How far a score may pass the largest before sums are scaled down: weights stay below 2^8.
  static constexpr float kSlack = 8.0F;
  using Scores = LaneScores<Keys, Values, C, Group, Paged>;
  using Tile = typename Scores::Tile;
  using Scores::args;
  using Scores::channel;
  using Scores::end;
  using Scores::exponent;
  using Scores::gather_scores;
  using Scores::keep_scores;
  using Scores::key_level_floats;
  using Scores::kRows;
  using Scores::kValueScales;
  using Scores::kWaits;
  using Scores::load_keys;
  using Scores::load_row;
  using Scores::load_values;
  using Scores::meets_sinks;
  using Scores::present;
  using Scores::restore_sinks;
  using Scores::row;
  using Scores::score_tile;
  using Scores::slot;
  using Scores::staged_floats;
  using Scores::take_queries;
  using Scores::taken;
  using Scores::tile_at;
  using Scores::tile_rows;
  using Scores::value_stored;
  using Scores::values;
  using Scores::work;

  int packed_values = work.packed_values;
  const float* value_levels;  ///< this lane's column
  float mixed[Group][C];      ///< sum of weight x value, times place_weight(), without zeros
  float zeros[Group];         ///< sum of weight x zero
  float largest[Group];       ///< score from which weights are counted
  float weights[Group];       ///< sum of weights

  __device__ AttendLane(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        float* shared)
      : Scores(kernel_args, block_work, shared),
        value_levels(shared + key_level_floats() + threadIdx.x % kWarp) {
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
    load_row(args.values, entry, x);
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
      stage_levels<kThreads>(args.values.form, shared + key_level_floats());
    }
    stage_queries<Group, kThreads>(
        args,
        work,
        {.sets = shared + staged_floats(0), .factor = args.scale * kLog2E, .waits = kWaits});
    __syncthreads();
  }

  /// This warp's chunk of the entries; queries are staged while the first loads are under way.
  __device__ void attend(float* shared) {
    const int step = kWarps * tile_rows();
    const int first = work.begin + warp() * tile_rows();
    Tile tile = tile_at(first);
    if (first < end) {
      load_keys(tile);
      load_values(tile);
    }
    stage(shared);
    take_queries(first < end && meets_sinks(first) ? 1 : 0);
    for (int at = first; at < end;) {
      float scores[kRows][Group];
      score_tile(tile, scores);
      if (taken == 1) {
        keep_scores(scores);
        take_queries(0);
        continue;
      }
      if (meets_sinks(at)) {
        restore_sinks(tile, scores);
      }
      const int next_at = at + step;
      const Tile next = tile_at(next_at);
      if (next_at < end) {
        load_keys(next);
      }
      gather_scores(tile, scores);
      weigh(scores);
      mix_tile(tile, scores);
      if (next_at < end) {
        load_values(next);
        if (meets_sinks(next_at)) {
          take_queries(1);
        }
      }
      tile = next;
      at = next_at;
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
