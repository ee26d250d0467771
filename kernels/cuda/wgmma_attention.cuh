#pragma once

#include <cstdint>

#include <cuda.h>

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/tensor_copy.cuh"
#include "kernels/cuda/wgmma.cuh"

// Causal attention of a prompt on Hopper's warpgroup matrix units, after FlashAttention-3: bound by
// these units, narrow heads by the exponentials. A block stays on its multiprocessor and works on
// tiles of queries of one head, 64 a warpgroup. One thread copies queries and tiles of 128 keys and
// values into shared memory, ahead of the warpgroups. The weights of one tile of keys are made
// while the values of the tile before are mixed, and the next scores come before those values are
// needed. Warpgroups that take turns with their products, as there, are no faster here, nor are
// narrower rows for the heads that leave some of a row empty. Tiles of queries with the most keys
// come first.

namespace kvg::kernels::wgmma {

inline constexpr int kGroup = 128;  ///< threads of a warpgroup
inline constexpr int kRows = 64;    ///< queries of a warpgroup
inline constexpr int kKeys = 128;   ///< of a tile
inline constexpr int kStages = 2;   ///< tiles of keys, and of values, in shared memory
inline constexpr unsigned kQueryPart = kRows * SharedLayout::kRowBytes;  ///< bytes
inline constexpr unsigned kKeyPart = kKeys * SharedLayout::kRowBytes;    ///< likewise

/// How attention with heads of Dim elements is laid out on a multiprocessor.
template <int Dim>
struct Shape {
  // A third warpgroup hides more of the exponentials' time, but has registers for narrow heads
  // alone.
  static constexpr int kConsumers = Dim <= 64 ? 3 : 2;
  static constexpr int kThreads = (1 + kConsumers) * kGroup;
  static constexpr int kQueries = kConsumers * kRows;
  // All registers of a multiprocessor: those who copy need few.
  static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 24;
  static constexpr int kConsumerRegisters = kConsumers == 3 ? 160 : 240;

  // Columns beyond Dim are zeros that no product reads.
  static constexpr int kParts = (Dim + SharedLayout::kColumns - 1) / SharedLayout::kColumns;
};

/// The shared memory of a block, with barriers for what is full and what may be filled anew.
template <int Dim>
struct Shared {
  static constexpr int kParts = Shape<Dim>::kParts;
  static constexpr int kConsumers = Shape<Dim>::kConsumers;
  // The swizzle repeats every 1024 bytes of address.
  alignas(1024) unsigned char queries[kConsumers][kParts][kQueryPart];
  alignas(1024) unsigned char out[kConsumers][kParts][kQueryPart];
  alignas(1024) unsigned char keys[kStages][kParts][kKeyPart];
  alignas(1024) unsigned char values[kStages][kParts][kKeyPart];
  std::uint64_t queries_full;
  std::uint64_t queries_free;
  std::uint64_t keys_full[kStages];
  std::uint64_t keys_free[kStages];
  std::uint64_t values_full[kStages];
  std::uint64_t values_free[kStages];
};

struct Args {
  CUtensorMap query;
  CUtensorMap keys;
  CUtensorMap values;
  CUtensorMap out;
  int past;
  int tokens;
  int heads;
  int group;  ///< heads of a kv_head
  int batch;
  float scale;  ///< to log2 units
};

/// The stage that comes next in a ring, and the parity of the phase in which it is filled.
struct Ring {
  int stage = 0;
  unsigned parity = 0;

  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1U;
    }
  }
};

/// A tile of queries.
struct Work {
  int first;  ///< query
  int head;
  int kv_head;
  int batch;
  int tiles;  ///< of keys
};

/// The `round`-th tile of this block; false when there is none. Blocks take tiles in the order of
/// their keys, forth and back again, so that their sums of keys differ little.
template <int Dim>
__device__ bool find_work(const Args& args, int round, Work& work) {
  constexpr int kQueries = Shape<Dim>::kQueries;
  const int blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  const int index = round * blocks + (round % 2 == 0 ? block : blocks - 1 - block);
  const int query_tiles = (args.tokens + kQueries - 1) / kQueries;
  const int row_tiles = query_tiles * args.heads;
  if (index >= row_tiles * args.batch) {
    return false;
  }
  // Row by row of the batch, so that keys and values are found in the L2 cache.
  work.batch = index / row_tiles;
  work.first = (query_tiles - 1 - index % row_tiles / args.heads) * kQueries;
  work.head = index % args.heads;
  work.kv_head = work.head / args.group;
  const int end = args.past + min(work.first + kQueries, args.tokens);
  work.tiles = (end + kKeys - 1) / kKeys;
  return true;
}

template <int Dim>
__device__ void make_barriers(Shared<Dim>& shared) {
  constexpr unsigned kConsumerWarps = Shape<Dim>::kConsumers * kGroup / kWarp;
  if (threadIdx.x == 0) {
    make_barrier(shared.queries_full, 1);
    make_barrier(shared.queries_free, kConsumerWarps);
    for (int stage = 0; stage < kStages; ++stage) {
      make_barrier(shared.keys_full[stage], 1);
      make_barrier(shared.keys_free[stage], kConsumerWarps);
      make_barrier(shared.values_full[stage], 1);
      make_barrier(shared.values_free[stage], kConsumerWarps);
    }
    publish_barriers();
  }
  __syncthreads();
}

template <int Dim>
__device__ void load_tile(unsigned char (&parts)[Shape<Dim>::kParts][kKeyPart],
                          const CUtensorMap& tensor,
                          const BoxStart& start,
                          std::uint64_t& full) {
  arrive_expecting(full, sizeof(parts));
#pragma unroll
  for (int part = 0; part < Shape<Dim>::kParts; ++part) {
    BoxStart from = start;
    from.at[0] = part * SharedLayout::kColumns;
    load_box(parts[part], tensor, from, full);
  }
}

/// One thread's work: keeps shared memory filled.
template <int Dim>
__device__ void produce(const Args& args, Shared<Dim>& shared) {
  Ring ring;
  Work work;
  for (int round = 0; find_work<Dim>(args, round, work); ++round) {
    wait_phase(shared.queries_free, (round & 1U) ^ 1U);
    arrive_expecting(shared.queries_full, sizeof(shared.queries));
    for (int group = 0; group < Shape<Dim>::kConsumers; ++group) {
      for (int part = 0; part < Shape<Dim>::kParts; ++part) {
        load_box(shared.queries[group][part],
                 args.query,
                 {part * SharedLayout::kColumns, work.head, work.first + group * kRows, work.batch},
                 shared.queries_full);
      }
    }
    for (int tile = 0; tile < work.tiles; ++tile, ring.advance()) {
      const BoxStart start = {0, tile * kKeys, work.kv_head, work.batch};
      wait_phase(shared.keys_free[ring.stage], ring.parity ^ 1U);
      load_tile<Dim>(shared.keys[ring.stage], args.keys, start, shared.keys_full[ring.stage]);
      wait_phase(shared.values_free[ring.stage], ring.parity ^ 1U);
      load_tile<Dim>(shared.values[ring.stage], args.values, start, shared.values_full[ring.stage]);
    }
  }
}

}  // namespace kvg::kernels::wgmma
