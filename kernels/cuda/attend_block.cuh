#pragma once

#include "kernels/codec.h"
#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/turn.cuh"

// The parts of decode attention that a block does once: staging queries, and putting together what
// warps and blocks have summed.

namespace kvg::kernels {

/// Entries of a chunk when at most `most` chunks may be made of `entries`.
__host__ __device__ constexpr int chunk_length(std::int64_t entries, int most) {
  constexpr int kUnit = 64;
  const std::int64_t even = (entries + most - 1) / most;
  return static_cast<int>((even + kUnit - 1) / kUnit) * kUnit;
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

/// The share of every chunk in a query's result: shares[query][kMaxChunks].
template <int Threads>
__device__ inline void weigh_chunks(const AttendKernelArgs& args,
                                    const BlockWork& work,
                                    const float* partials,
                                    float* shares) {
  const int dim = args.shape.head_dim;
  constexpr int kEach = kMaxChunks / kWarp;
  const int lane = threadIdx.x % kWarp;
  for (int q = threadIdx.x / kWarp; q < work.queries; q += Threads / kWarp) {
    float own[kEach];
    float sum[kEach];
    float largest = kLeast;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int chunk = lane + i * kWarp;
      const bool present = chunk < work.chunks;
      const float* tail = partials + (q * args.chunks + chunk) * partial_floats(dim) + dim;
      own[i] = present ? __ldcg(tail) : kLeast;
      sum[i] = present ? __ldcg(tail + 1) : 0.0F;
      largest = fmaxf(largest, own[i]);
    }
    largest = warp_max(largest);
    float total = 0.0F;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] = exp2_of(own[i] - largest);
      total += own[i] * sum[i];
    }
    total = warp_sum(total);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      shares[q * kMaxChunks + lane + i * kWarp] = own[i] / total;
    }
  }
}

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

/// Merges all chunks of this block's queries, in order. A thread takes four channels of one query;
/// where that leaves threads over, several share the chunks of the same channels.
template <int Threads>
__device__ inline void merge_chunks(const AttendKernelArgs& args,
                                    const BlockWork& work,
                                    float* shared) {
  const int dim = args.shape.head_dim;
  const int quads = dim / 4;
  const int items = work.queries * quads;
  const int shares = max(1, Threads / items);
  float* weights = shared;
  auto* gathered = reinterpret_cast<float4*>(shared + work.queries * kMaxChunks);
  const float* partials =
      args.scratch.partials + work.first_query * args.chunks * partial_floats(dim);
  weigh_chunks<Threads>(args, work, partials, weights);
  __syncthreads();
  for (int i = threadIdx.x; i < items * shares; i += Threads) {
    const int item = i % items;
    const int query = item / quads;
    const float* from = partials + query * args.chunks * partial_floats(dim) + item % quads * 4;
    float4 sum = {};
#pragma unroll 8
    for (int chunk = i / items; chunk < work.chunks; chunk += shares) {
      const float weight = weights[query * kMaxChunks + chunk];
      const float4 part =
          __ldcg(reinterpret_cast<const float4*>(from + chunk * partial_floats(dim)));
      sum.x = fmaf(weight, part.x, sum.x);
      sum.y = fmaf(weight, part.y, sum.y);
      sum.z = fmaf(weight, part.z, sum.z);
      sum.w = fmaf(weight, part.w, sum.w);
    }
    gathered[i] = sum;
  }
  __syncthreads();
  auto* results = reinterpret_cast<float*>(gathered);
  for (int i = threadIdx.x; i < items * 4; i += Threads) {
    float sum = results[i];
    for (int share = 1; share < shares; ++share) {
      sum += results[share * items * 4 + i];
    }
    results[i] = sum;  // nobody else reads this place
  }
  __syncthreads();
  write_results<Threads>(args, work, results);
}

/// True in the block that is the last of `count` to come here; the counter is ready for the next.
__device__ inline bool is_last(unsigned* arrivals, int count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last =
        atomicInc(arrivals, static_cast<unsigned>(count - 1)) + 1 == static_cast<unsigned>(count);
  }
  __syncthreads();
  __threadfence();
  return last;
}

/// Puts the warps' parts together: to the result where there is one chunk, else to the chunk's
/// partial, and in the block that comes last to the result. `shared` is apart from `parts`.
template <int Group, int Threads>
__device__ inline void finish_block(const AttendKernelArgs& args,
                                    const BlockWork& work,
                                    const WarpParts& parts,
                                    float* shared) {
  const int dim = args.shape.head_dim;
  const bool single = work.chunks == 1;
  constexpr int kWarps = Threads / kWarp;
  for (int q = 0; q < work.queries; ++q) {
    float largest = kLeast;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      largest = fmaxf(largest, parts.largest[warp * Group + q]);
    }
    float shares[kWarps];
    float weight = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      shares[warp] = exp2_of(parts.largest[warp * Group + q] - largest);
      weight = fmaf(shares[warp], parts.weights[warp * Group + q], weight);
    }
    float* partial = args.scratch.partials +
                     ((work.first_query + q) * args.chunks + blockIdx.x) * partial_floats(dim);
    for (int c = threadIdx.x; c < dim; c += Threads) {
      float sum = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) {
        sum = fmaf(shares[warp], parts.sums[(warp * Group + q) * dim + c], sum);
      }
      (single ? shared[q * dim + c] : partial[c]) = single ? sum / weight : sum;
    }
    if (threadIdx.x == 0 && !single) {
      partial[dim] = largest;
      partial[dim + 1] = weight;
    }
  }
  if (single) {
    __syncthreads();
    write_results<Threads>(args, work, shared);
    return;
  }
  unsigned* arrivals = args.scratch.arrivals + blockIdx.z * gridDim.y + blockIdx.y;
  if (is_last(arrivals, work.chunks)) {
    merge_chunks<Threads>(args, work, shared);
  }
}

}  // namespace kvg::kernels
