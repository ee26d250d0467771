#pragma once

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"

// The parts of decode attention that work on one tile of entries in shared memory.

namespace kvg::kernels {

inline constexpr int kAttendThreads = 128;
inline constexpr int kAttendWarps = kAttendThreads / kWarp;

template <typename T, int Dim>
struct Tile {
  static constexpr int kEntries = (sizeof(T) * Dim <= 256)   ? 64
                                  : (sizeof(T) * Dim <= 512) ? 32
                                                             : 16;
  static constexpr int kPacks = Dim / Pack<T>::kCount;
  // An odd number of 16-byte columns, so that threads reading one column of different entries
  // touch different banks.
  static constexpr int kStride = Dim + Pack<T>::kCount;
  static constexpr int kElements = kEntries * kStride;
  static constexpr int kThreadsPerEntry = kAttendThreads / kEntries;
  static constexpr int kGroups =
      kAttendThreads / kPacks;  // of threads that share an entry's values
};

// Running softmax of one query, in units of log2.
struct Softmax {
  float largest;
  float sum;
};

// scores[entry][query] of a tile, scaled to log2 units. The first sinks_entries.x entries meet the
// sink query; those from sinks_entries.y on are not there.
template <typename T, int Dim, int Group>
__device__ inline void score_tile(const T* keys,
                                  const float* queries,
                                  float* scores,
                                  int2 sinks_entries) {
  using Shape = Tile<T, Dim>;
  constexpr int kShare = Shape::kThreadsPerEntry;
  constexpr int kCount = Pack<T>::kCount;
  const int entry = threadIdx.x / kShare;
  const int share = threadIdx.x % kShare;
  const float* query = queries + (entry < sinks_entries.x ? Group * Dim : 0);
  float sums[Group] = {};
#pragma unroll 4
  for (int pack = share; pack < Shape::kPacks; pack += kShare) {
    float key[kCount];
    widen(load_pack(keys + entry * Shape::kStride + pack * kCount), key);
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      const float4* part = reinterpret_cast<const float4*>(query + g * Dim + pack * kCount);
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const float4 four = part[i / 4];
        sums[g] = fmaf(four.x, key[i], sums[g]);
        sums[g] = fmaf(four.y, key[i + 1], sums[g]);
        sums[g] = fmaf(four.z, key[i + 2], sums[g]);
        sums[g] = fmaf(four.w, key[i + 3], sums[g]);
      }
    }
  }
#pragma unroll
  for (int g = 0; g < Group; ++g) {
#pragma unroll
    for (int step = 1; step < kShare; step *= 2) {
      sums[g] += __shfl_xor_sync(kAllLanes, sums[g], step);
    }
    if (share == 0) {
      scores[entry * Group + g] = entry < sinks_entries.y ? sums[g] : -INFINITY;
    }
  }
}

// Turns scores into weights relative to the running maximum, one warp a query; `decay` is what
// earlier tiles shrink by.
template <int Entries, int Group>
__device__ inline void weigh_tile(float* scores, Softmax* running, float* decay) {
  const int lane = threadIdx.x % kWarp;
  for (int g = threadIdx.x / kWarp; g < Group; g += kAttendWarps) {
    float largest = -INFINITY;
    for (int e = lane; e < Entries; e += kWarp) {
      largest = fmaxf(largest, scores[e * Group + g]);
    }
    const Softmax before = running[g];
    largest = fmaxf(warp_max(largest), before.largest);
    float sum = 0.0F;
    for (int e = lane; e < Entries; e += kWarp) {
      const float weight = exp2f(scores[e * Group + g] - largest);
      scores[e * Group + g] = weight;
      sum += weight;
    }
    sum = warp_sum(sum);
    __syncwarp();
    if (lane == 0) {
      decay[g] = exp2f(before.largest - largest);
      running[g] = {largest, before.sum * decay[g] + sum};
    }
  }
}

// Adds a tile's weighted values to what this thread holds: one pack of channels, every kGroups-th
// entry.
template <typename T, int Dim, int Group>
__device__ inline void mix_tile(const T* values,
                                const float* weights,
                                const float* decay,
                                float (&mixed)[Group][Pack<T>::kCount]) {
  using Shape = Tile<T, Dim>;
  constexpr int kCount = Pack<T>::kCount;
#pragma unroll
  for (int g = 0; g < Group; ++g) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      mixed[g][i] *= decay[g];
    }
  }
  const int pack = threadIdx.x % Shape::kPacks;
  const int first = threadIdx.x / Shape::kPacks;
  if (first >= Shape::kGroups) {
    return;
  }
#pragma unroll 4
  for (int entry = first; entry < Shape::kEntries; entry += Shape::kGroups) {
    float value[kCount];
    widen(load_pack(values + entry * Shape::kStride + pack * kCount), value);
#pragma unroll
    for (int g = 0; g < Group; ++g) {
      const float weight = weights[entry * Group + g];
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        mixed[g][i] = fmaf(weight, value[i], mixed[g][i]);
      }
    }
  }
}

// Sums what the groups of threads hold of query g into sums[Dim].
template <typename T, int Dim>
__device__ inline void gather_mixed(const float (&mixed)[Pack<T>::kCount],
                                    float* gathered,
                                    float* sums) {
  using Shape = Tile<T, Dim>;
  constexpr int kCount = Pack<T>::kCount;
  const int pack = threadIdx.x % Shape::kPacks;
  const int first = threadIdx.x / Shape::kPacks;
  __syncthreads();
  if (first < Shape::kGroups) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      gathered[first * Dim + pack * kCount + i] = mixed[i];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < Dim; i += kAttendThreads) {
    float sum = 0.0F;
    for (int from = 0; from < Shape::kGroups; ++from) {
      sum += gathered[from * Dim + i];
    }
    sums[i] = sum;
  }
}

}  // namespace kvg::kernels
