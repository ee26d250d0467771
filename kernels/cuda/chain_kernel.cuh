#pragma once

#include "kernels/cuda/gemv_ring.cuh"

// The kernel of a chain of projections: warps that copy weights, warps that stage inputs and
// multiply, and one that finishes results, round by round of tiles, link by link.

namespace kvg::kernels {

// log2 of the tiles whose sums are held and finished at once: of few input rows as many as give
// each lane of a warp one result.
constexpr int round_shift(int rows) {
  return rows < 3 ? 3 - rows : 0;
}
static_assert(kTileRows << round_shift(1) == kWarp);
// Most results of a lane.
inline constexpr int kLaneResults = kTileRows * kMaxDecodeRows / kWarp;

// Fewer stages of the ring than these do not keep the memory busy.
inline constexpr int kFewStages = kMostUnderWay;

inline constexpr int kChainThreads = kGemvThreads + (kCopyWarps + 1) * kWarp;
/// Of a thread: what leaves a multiprocessor's others to blocks of attention and of its merge.
inline constexpr int kChainRegisters = 104;

// Shared memory for the sums of a round.
constexpr std::size_t round_bytes(int rows) {
  const int results = kTileRows * rows < kWarp ? kWarp : kTileRows * rows;
  return sizeof(float) * kGemvWarps * static_cast<std::size_t>(results);
}

// Columns behind the end of a row meet inputs of 0, and what they hold has to be a number.
__device__ inline void clear_ring(unsigned char* room, int stages) {
  auto* packs = reinterpret_cast<uint4*>(room);
  for (std::size_t i = threadIdx.x; i < stages * kStageBytes / sizeof(uint4); i += blockDim.x) {
    packs[i] = uint4{};
  }
  publish_box();
}

// Where links leave results for those behind them, in one of two sets of places that chains take in
// turn: a chain empties the other one, of the chain before. A count that runs round at twice the
// blocks of a grid tells which by its half: a block counts itself after it has looked, and between
// chains all have. The blocks of the grid have to be on the device at once.
template <typename T>
class PostSet {
 public:
  __device__ explicit PostSet(const ChainArgs<T>& chain) : chain_(chain) {}

  // After the chain before; the count is not waited for here.
  __device__ void begin() {
    if (chain_.post_bytes > 0) {
      asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];"
                   : "=r"(count_)
                   : "l"(chain_.ends)
                   : "memory");
    }
  }

  // Null for an offset of -1.
  [[nodiscard]] __device__ std::byte* at(int offset) const {
    return offset < 0 ? nullptr : chain_.post_sets + (is_upper() ? chain_.post_bytes : 0) + offset;
  }

  // By a warp of every block its share, which is seen at the end of the kernel.
  __device__ void empty_other() const {
    auto* packs = reinterpret_cast<uint4*>(chain_.post_sets + (is_upper() ? 0 : chain_.post_bytes));
    const int count = chain_.post_bytes / static_cast<int>(sizeof(uint4));
    const auto first = static_cast<int>(blockIdx.x * kWarp + threadIdx.x % kWarp);
    for (int i = first; i < count; i += static_cast<int>(gridDim.x) * kWarp) {
      packs[i] = {~0U, ~0U, ~0U, ~0U};
    }
  }

  // By one thread, when the others of the block have begun.
  __device__ void end() const {
    if (chain_.post_bytes > 0) {
      asm volatile("red.relaxed.gpu.global.inc.u32 [%0], %1;" ::"l"(chain_.ends),
                   "r"(2 * gridDim.x - 1)
                   : "memory");
    }
  }

 private:
  [[nodiscard]] __device__ bool is_upper() const { return count_ >= gridDim.x; }

  const ChainArgs<T>& chain_;
  unsigned count_ = 0;
};

// What the multiplying warps of a block and the finishing one tell each other, all lanes for
// themselves; in shared memory.
struct ChainGates {
  std::uint64_t staged;    // the input of the last link
  std::uint64_t full[2];   // the sums of a round, which two buffers take in turn
  std::uint64_t empty[2];  // they are finished

  // By one thread.
  __device__ void prepare() {
    make_barrier(staged, kGemvThreads);
    for (int i = 0; i < 2; ++i) {
      make_barrier(full[i], kGemvThreads);
      make_barrier(empty[i], kWarp);
    }
    publish_barriers();
  }
};

// The end of a chain as the next one sees it, which needs nothing of the last link: a count that is
// zero again when all blocks have told. A block of the next chain has its multiprocessor from one
// of this, which has counted itself, and chains that follow each other count in different places,
// so that nobody counts further before all have heard. Returns the count before, for the block to
// look at before it leaves.
__device__ inline unsigned tell_end(unsigned* ends) {
  unsigned before = 0;
  asm volatile("atom.release.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(ends), "r"(gridDim.x - 1)
               : "memory");
  return before;
}
__device__ inline void hear_end(const unsigned* ends) {
  unsigned count = 0;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(ends) : "memory");
  } while (count != 0);
}

// What a link waits for beside the results of those before it; `listens`: one thread of those that
// meet afterwards.
template <typename T>
__device__ void wait_for_others(const ChainArgs<T>& chain, int link, bool listens) {
  if (link == chain.ahead) {
    wait_for_inputs();
  } else if (link == 0 && listens) {
    hear_end(chain.hears);
  }
}

// Of a block's memory: what the warps of a chain share beside the ring.
template <typename T>
struct ChainRoom {
  unsigned char* memory;  // behind the ring
  const ChainArgs<T>& chain;

  __device__ ChainRoom(const ChainArgs<T>& of, unsigned char* all)
      : memory(all + of.stages * kStageBytes), chain(of) {}

  // The input of a link.
  [[nodiscard]] __device__ T* x() const { return reinterpret_cast<T*>(memory); }
  // Of a round, [tiles][warps][tile rows][input rows], in one of two buffers.
  [[nodiscard]] __device__ float* sums(int which) const {
    return reinterpret_cast<float*>(memory + chain.staged + which * round_bytes(chain.rows));
  }
};

// The warp that makes results of sums: what those need beside, it asks for while the others still
// wait for inputs and multiply.
template <typename T>
class Finisher {
 public:
  using Link = typename ChainArgs<T>::Link;

  __device__ Finisher(const ChainArgs<T>& chain, ChainGates& gates, const ChainRoom<T>& room)
      : chain_(chain), gates_(gates), room_(room), posts_(chain) {}

  __device__ void run() {
    unsigned told = 0;
#pragma unroll 1
    for (int i = 0; i < chain_.count; ++i) {
      wait_for_others(chain_, i, lane() == 0);
      __syncwarp();
      if (i == 0) {
        posts_.begin();
        posts_.empty_other();
      }
      const Link& link = chain_.links[i];
      const Tiles tiles(link);
      const int step = 1 << round_shift(link.projection.gemv.rows);
      Round now;
      for (int from = -step; from < tiles.cut.count; from += step) {
        const Round next = foresee(link, tiles, from + step);
        if (from >= 0) {
          finish(link, now);
        } else if (i == chain_.count - 1) {
          told = tell();
        }
        now = next;
      }
    }
    if (told >= gridDim.x) {  // never; so the block stays until it is counted
      __trap();
    }
  }

 private:
  __device__ static int lane() {
    return static_cast<int>(threadIdx.x) % kWarp;
  }

  // When the block has nothing more to read that links before the last one leave.
  __device__ unsigned tell() const {
    wait_phase(gates_.staged, 0);
    __syncwarp();
    if (lane() != 0) {
      return 0;
    }
    posts_.end();
    return chain_.tells != nullptr ? tell_end(chain_.tells) : 0;
  }

  // Of a lane.
  struct Round {
    Prospect of[kLaneResults];
    int sums[kLaneResults];  // where they are; -1: no such result
  };

  __device__ Round foresee(const Link& link, const Tiles& tiles, int from) const {
    const int rows = link.projection.gemv.rows;
    const int shift = round_shift(rows) + tiles.shift;  // log2 of units
    Round round;
#pragma unroll
    for (int i = 0; i < kLaneResults; ++i) {
      const int result = i * kWarp + lane();
      const int row = result >> shift;
      const int tile = (result - (row << shift)) >> tiles.shift;
      const int place = result & ((1 << tiles.shift) - 1);
      const int unit = row < rows ? tiles.unit(from + tile, place) : -1;
      round.sums[i] = unit < 0 ? -1 : (tile * kGemvWarps * kTileRows + place) * rows + row;
      if (unit >= 0) {
        round.of[i] = link.projection.foresee(tiles.first + unit, row, link.posts >= 0);
      }
    }
    return round;
  }

  __device__ void finish(const Link& link, const Round& round) {
    wait_phase(gates_.full[buffer_.stage], buffer_.parity);
#pragma unroll
    for (int i = 0; i < kLaneResults; ++i) {
      if (round.sums[i] >= 0) {
        finish(link, round.of[i], room_.sums(buffer_.stage) + round.sums[i]);
      }
    }
    arrive(gates_.empty[buffer_.stage]);
    buffer_.advance(1, 2);
  }

  // Adds up what the warps have summed.
  __device__ void finish(const Link& link, const Prospect& of, const float* sums) const {
    const int rows = link.projection.gemv.rows;
    const auto total = [&](int which) {
      float sum = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kGemvWarps; ++warp) {
        sum += sums[(warp * kTileRows + which * kTileRows / 2) * rows];
      }
      return sum;
    };
    link.projection.finish(
        of, total(0), link.projection.is_paired() ? total(1) : 0.0F, posts_.at(link.posts));
  }

  const ChainArgs<T>& chain_;
  ChainGates& gates_;
  ChainRoom<T> room_;
  PostSet<T> posts_;
  RingPlace buffer_;
};

// The warps that stage inputs and multiply.
template <typename T>
__device__ void multiply_links(const ChainArgs<T>& chain,
                               ChainGates& gates,
                               const ChainRoom<T>& room,
                               TileReader<T>& reader) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  PostSet<T> posts(chain);
  RingPlace buffer;
#pragma unroll 1
  for (int i = 0; i < chain.count; ++i) {
    const auto& link = chain.links[i];
    wait_for_others(chain, i, threadIdx.x == 0);
    meet();  // nobody reads the input before any more
    RowStager<T>(link.projection.gemv, posts.at(link.reads)).stage(room.x());
    if (i == 0) {
      posts.begin();  // this link reads none
    }
    if (i == chain.count - 1) {
      arrive(gates.staged);
    }
    const int count = Tiles(link).cut.count;
    const int step = 1 << round_shift(link.projection.gemv.rows);
    for (int from = 0; from < count; from += step) {
      wait_phase(gates.empty[buffer.stage], buffer.parity ^ 1U);
      const int to = min(from + step, count);
      for (int tile = from; tile < to; ++tile) {
        const int at = ((tile - from) * kGemvWarps + warp) * kTileRows;
        reader.multiply_tile(
            link, room.x(), room.sums(buffer.stage) + at * link.projection.gemv.rows);
      }
      arrive(gates.full[buffer.stage]);
      buffer.advance(1, 2);
    }
  }
  if (chain.ahead == chain.count) {
    wait_for_inputs();  // this kernel ends after the one before it
  }
}

template <typename T>
__global__ void __maxnreg__(kChainRegisters)
    chain_kernel(const __grid_constant__ ChainArgs<T> given) {
#if __CUDA_ARCH__ >= 900
  // The next kernel's blocks find their places beside this one's and wait there.
  allow_next();
  extern __shared__ __align__(128) unsigned char ring_memory[];
  __shared__ WeightRing ring;
  __shared__ ChainGates gates;
  // As constants they would come a word at a time.
  __shared__ uint4 packs[sizeof(given) / sizeof(uint4)];
  static_assert(sizeof(packs) == sizeof(given) && sizeof(packs) / sizeof(uint4) <= kChainThreads);
  uint4 pack;
  const bool takes = threadIdx.x < sizeof(given) / sizeof(uint4);
  if (takes) {
    asm volatile("ld.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(pack.x), "=r"(pack.y), "=r"(pack.z), "=r"(pack.w)
                 : "l"(reinterpret_cast<const uint4*>(&given) + threadIdx.x));
  }
  ring.prepare();
  if (threadIdx.x == kChainThreads - kWarp) {
    gates.prepare();
  }
  if (takes) {
    packs[threadIdx.x] = pack;
  }
  const auto& chain = *reinterpret_cast<const ChainArgs<T>*>(packs);
  if (given.clears) {
    clear_ring(ring_memory, given.stages);
  }
  __syncthreads();
  const ChainRoom<T> room(chain, ring_memory);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (warp < kGemvWarps) {
    static_assert(kMostLinks <= kGemvWarps);
    if (warp < chain.count) {
      prefetch_norm(chain.links[warp].projection.gemv);
    }
    TileReader<T> reader(ring, ring_memory, chain.stages);
    multiply_links(chain, gates, room, reader);
  } else if (warp < kGemvWarps + kCopyWarps) {
    RingFiller<T> filler(ring, ring_memory, chain.stages, warp - kGemvWarps);
    for (int i = 0; i < chain.count; ++i) {
      filler.fill(chain.links[i]);
    }
  } else {
    Finisher<T>(chain, gates, room).run();
  }
#endif
}

}  // namespace kvg::kernels
