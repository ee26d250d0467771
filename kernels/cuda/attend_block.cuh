#pragma once

#include "kernels/codec.h"
#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/turn.cuh"

// The parts of decode attention that a block does once: staging queries, and putting together what
// warps and blocks have summed.

namespace kvg::kernels {

/// Entries of a chunk when at most `most` chunks may be made of `entries`: kMinChunk or more, in
/// whole units.
__host__ __device__ constexpr int chunk_length(int entries, int most, int unit) {
  const int even = (entries + most - 1) / most;
  const int whole = (even + unit - 1) / unit * unit;
  return whole < kMinChunk ? kMinChunk : whole;
}

__device__ inline float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Below every score, and finite, so that differences with it are numbers.
inline constexpr float kLeast = -1e30F;

/// Addresses of a block's work.
struct BlockWork {
  std::int64_t row;          ///< of codes: the head's first
  std::int64_t key_row;      ///< likewise, of the keys
  std::int64_t head;         ///< [batch, kv_heads] index
  std::int64_t first_query;  ///< [batch, heads] index
  int queries;               ///< of this block
  int begin;                 ///< of the entries, or of the entries of the listed pages
  int end;
  int entries;
  int packed_keys;
  int packed_values;
  int chunk;
  int chunks;  ///< that have work
};

/// Where queries are staged, and what as.
struct QueryStage {
  float*
      sets;  ///< [sets][Group][head_dim]: for stored keys, for sinks, then both for keys that wait
  float factor = 1.0F;  ///< of all
  bool waits = false;   ///< whether there are the last two sets
};

template <int Group, int Threads>
__device__ inline void stage_queries(const AttendKernelArgs& args,
                                     const BlockWork& work,
                                     const QueryStage& stage) {
  const int dim = args.shape.head_dim;
  const int size = Group * dim;
  float* const sets = stage.sets;
  float* const plain = stage.waits ? sets + 2 * size : sets;
  for (int i = threadIdx.x; i < size; i += Threads) {
    const bool present = i < work.queries * dim;
    const std::int64_t at = work.first_query * dim + i;
    plain[i] = present ? element_at(args.query, args.compute, at) * stage.factor : 0.0F;
    if (args.sinks > 0) {
      plain[size + i] =
          present ? element_at(args.sink_query, args.compute, at) * stage.factor : 0.0F;
    }
  }
  __syncthreads();
  const int used = args.sinks > 0 ? 2 : 1;
  if (stage.waits) {
    const std::int16_t* kept = args.keys.kept_channels + work.head * args.keys.channels;
    for (int i = threadIdx.x; i < used * size; i += Threads) {
      const int channel = i % dim;
      const bool all = args.keys.kept_channels == nullptr;
      sets[i] = all                            ? plain[i]
                : channel < args.keys.channels ? plain[i - channel + kept[channel]]
                                               : 0.0F;
    }
    __syncthreads();
  }
  turn_queries<BlockTeam<Threads>>(args.keys.form.transform, sets, make_int2(used * Group, dim));
}

/// kTable: [codes][kWarp], every lane a column of its own, so that lookups never collide.
template <int Threads>
__device__ inline void stage_levels(const Form& form, float* levels) {
  const int count = (1 << form.bits) * kWarp;
  for (int i = threadIdx.x; i < count; i += Threads) {
    levels[i] = level_of(form, static_cast<unsigned>(i / kWarp));
  }
}

/// Floats of a partial result: head_dim sums, then the largest score and the sum of weights.
__host__ __device__ constexpr int partial_floats(int head_dim) {
  return head_dim + 4;
}

/// What a warp has of each query: sums[Group][head_dim], largest[Group], weights[Group].
struct WarpParts {
  float* sums;     ///< [warps][Group][head_dim]
  float* largest;  ///< [warps][Group]
  float* weights;  ///< [warps][Group]
};

/// Turns results back and writes them. `results`: [queries][head_dim] in shared memory, complete.
template <int Threads>
__device__ inline void write_results(const AttendKernelArgs& args,
                                     const BlockWork& work,
                                     float* results) {
  const int dim = args.shape.head_dim;
  turn_outputs<BlockTeam<Threads>>(
      args.values.form.transform, results, make_int2(work.queries, dim));
  for (int i = threadIdx.x; i < work.queries * dim; i += Threads) {
    put_element(args.out, args.compute, work.first_query * dim + i, results[i]);
  }
}

/// Where a chunk of a query leaves its partial result for merge_chunks().
__device__ inline float* partial_of(const AttendKernelArgs& args,
                                    const BlockWork& work,
                                    int query) {
  return args.scratch + ((work.first_query + query) * args.chunks + work.chunk) *
                            partial_floats(args.shape.head_dim);
}

/// By a block without a chunk, of a grid that has several.
template <int Threads>
__device__ inline void leave_nothing(const AttendKernelArgs& args, const BlockWork& work) {
  for (int q = threadIdx.x; q < work.queries; q += Threads) {
    float* tail = partial_of(args, work, q) + args.shape.head_dim;
    tail[0] = kLeast;
    tail[1] = 0.0F;
  }
}

/// Puts the warps' parts together: to the result where the grid has one chunk, else to the chunk's
/// partial. `shared`: [Group][head_dim], apart from `parts`.
template <int Group, int Threads>
__device__ inline void finish_block(const AttendKernelArgs& args,
                                    const BlockWork& work,
                                    const WarpParts& parts,
                                    float* shared) {
  const int dim = args.shape.head_dim;
  const int quads = dim / 4;
  const bool single = args.chunks == 1;
  constexpr int kWarps = Threads / kWarp;
  for (int i = threadIdx.x; i < work.queries * quads; i += Threads) {
    const int q = i / quads;
    const int c = (i - q * quads) * 4;
    float largest = kLeast;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      largest = fmaxf(largest, parts.largest[warp * Group + q]);
    }
    float weight = 0.0F;
    float4 sum = {};
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      const float share = exp2_of(parts.largest[warp * Group + q] - largest);
      const float4 part =
          *reinterpret_cast<const float4*>(parts.sums + (warp * Group + q) * dim + c);
      weight = fmaf(share, parts.weights[warp * Group + q], weight);
      sum.x = fmaf(share, part.x, sum.x);
      sum.y = fmaf(share, part.y, sum.y);
      sum.z = fmaf(share, part.z, sum.z);
      sum.w = fmaf(share, part.w, sum.w);
    }
    if (single) {
      const float4 result = {sum.x / weight, sum.y / weight, sum.z / weight, sum.w / weight};
      *reinterpret_cast<float4*>(shared + q * dim + c) = result;
      continue;
    }
    float* partial = partial_of(args, work, q);
    *reinterpret_cast<float4*>(partial + c) = sum;
    if (c == 0) {
      partial[dim] = largest;
      partial[dim + 1] = weight;
    }
  }
  if (single) {
    __syncthreads();
    write_results<Threads>(args, work, shared);
  }
}

}  // namespace kvg::kernels
