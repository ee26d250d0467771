#pragma once

#include "kernels/cuda/gemv_ring.cuh"

// The kernel of a chain of projections: warps that copy weights, and warps that stage inputs,
// multiply, and finish results, round by round of tiles, link by link.

namespace kvg::kernels {

// Tiles whose sums are held at once; a thread finishes at most one result of them.
inline constexpr int kRoundTiles = 4;
static_assert(kRoundTiles * kTileRows * kMaxDecodeRows <= kGemvThreads);

// Fewer stages of the ring than these do not keep the memory busy.
inline constexpr int kFewStages = kMostUnderWay;

inline constexpr int kChainThreads = kGemvThreads + kCopyWarps * kWarp;
/// Of a thread: what leaves a multiprocessor's others to blocks of attention and of its merge.
inline constexpr int kChainRegisters = 104;

// Shared memory for the sums of a round.
constexpr std::size_t round_bytes(int rows) {
  return sizeof(float) * kRoundTiles * kTileRows * kGemvWarps * static_cast<std::size_t>(rows);
}

// Columns behind the end of a row meet inputs of 0, and what they hold has to be a number.
__device__ inline void clear_ring(unsigned char* room, int stages) {
  auto* packs = reinterpret_cast<uint4*>(room);
  for (std::size_t i = threadIdx.x; i < stages * kStageBytes / sizeof(uint4); i += blockDim.x) {
    packs[i] = uint4{};
  }
  publish_box();
}

// Counts that run round at twice the blocks of a grid.
__device__ inline unsigned count_of(const unsigned* arrivals) {
  unsigned count = 0;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(arrivals) : "memory");
  return count;
}

// Where links leave results for those behind them, in one of two sets of places that chains take in
// turn: a chain empties the other one, of the chain before. The half that a count of blocks is in
// tells which; blocks count themselves when others have begun, and between chains all have. The
// blocks of the grid have to be on the device at once.
template <typename T>
class PostSet {
 public:
  __device__ explicit PostSet(const ChainArgs<T>& chain) : chain_(chain) {}

  // By all threads, after the chain before; the count is not waited for here.
  __device__ void begin() {
    if (chain_.post_bytes > 0) {
      asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];"
                   : "=r"(count_)
                   : "l"(chain_.arrivals)
                   : "memory");
    }
  }

  // Null for an offset of -1.
  [[nodiscard]] __device__ std::byte* at(int offset) const {
    return offset < 0 ? nullptr : chain_.post_sets + (is_upper() ? chain_.post_bytes : 0) + offset;
  }

  // A block its share, which is seen at the end of the kernel.
  __device__ void empty_other() const {
    auto* packs = reinterpret_cast<uint4*>(chain_.post_sets + (is_upper() ? 0 : chain_.post_bytes));
    const int count = chain_.post_bytes / static_cast<int>(sizeof(uint4));
    const auto first = static_cast<int>(blockIdx.x * kGemvThreads + threadIdx.x);
    for (int i = first; i < count; i += static_cast<int>(gridDim.x) * kGemvThreads) {
      packs[i] = {~0U, ~0U, ~0U, ~0U};
    }
  }

  // After posts of all others have been seen.
  __device__ void end() const {
    if (threadIdx.x == 0 && chain_.post_bytes > 0) {
      asm volatile("red.relaxed.gpu.global.inc.u32 [%0], %1;" ::"l"(chain_.arrivals),
                   "r"(2 * gridDim.x - 1)
                   : "memory");
    }
  }

 private:
  [[nodiscard]] __device__ bool is_upper() const { return count_ >= gridDim.x; }

  const ChainArgs<T>& chain_;
  unsigned count_ = 0;
};

// What a thread finishes of a link: of every round of tiles the same place.
template <typename T>
class Finisher {
 public:
  using Link = typename ChainArgs<T>::Link;

  __device__ Finisher(const Link& link, const PostSet<T>& posts)
      : link_(link),
        posts_(posts),
        tiles_(tiles_of(link.projection)),
        own_(static_cast<int>(threadIdx.x) & ((kRoundTiles << tiles_.shift) - 1)),
        input_(static_cast<int>(threadIdx.x) / (kRoundTiles << tiles_.shift)) {}

  [[nodiscard]] __device__ const Tiles& tiles() const { return tiles_; }

  // For the round that starts with tile `from`.
  __device__ void foresee(int from) {
    const int unit = tiles_.unit(from + (own_ >> tiles_.shift), own_ & ((1 << tiles_.shift) - 1));
    finishes_ = input_ < link_.projection.gemv.rows && unit >= 0;
    if (finishes_) {
      prospect_ = link_.projection.foresee(tiles_.first + unit, input_, link_.posts >= 0);
    }
  }

  // Adds up what the warps of a tile have summed, [tiles][warps][tile rows][input rows].
  __device__ void finish(const float* sums) const {
    if (!finishes_) {
      return;
    }
    const int rows = link_.projection.gemv.rows;
    const int tile = own_ >> tiles_.shift;
    const int row = own_ & ((1 << tiles_.shift) - 1);
    const float* part = sums + (tile * kGemvWarps * kTileRows + row) * rows + input_;
    const auto total = [&](int which) {
      float sum = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kGemvWarps; ++warp) {
        sum += part[(warp * kTileRows + which * kTileRows / 2) * rows];
      }
      return sum;
    };
    link_.projection.finish(prospect_,
                            total(0),
                            link_.projection.is_paired() ? total(1) : 0.0F,
                            posts_.at(link_.posts));
  }

 private:
  const Link& link_;
  const PostSet<T>& posts_;
  Tiles tiles_;
  int own_;    // unit of a round
  int input_;  // row
  bool finishes_ = false;
  Prospect prospect_;
};

// The end of a chain as the next one sees it. A block of the next one has its multiprocessor from
// one of this, which has counted itself: between whole grids only, the count is no multiple.
__device__ inline void tell_end(unsigned* ends) {
  meet();
  if (threadIdx.x == 0) {
    unsigned before = 0;
    asm volatile("atom.release.gpu.global.inc.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(ends), "r"(2 * gridDim.x - 1)
                 : "memory");
    // Looked at, so that this block stays until it is counted.
    if (before >= 2 * gridDim.x) {
      __trap();
    }
  }
}
__device__ inline void hear_end(const unsigned* ends) {
  if (threadIdx.x == 0) {
    while (count_of(ends) % gridDim.x != 0) {
    }
  }
  meet();
}

// In two buffers for sums that take turns, so that one barrier a round is enough.
struct RoundSums {
  float* now;
  float* next;

  __device__ void swap() {
    float* const done = now;
    now = next;
    next = done;
  }
};

template <typename T>
__device__ void run_link(const typename ChainArgs<T>::Link& link,
                         TileReader<T>& reader,
                         Finisher<T>& finisher,
                         const T* x,
                         RoundSums& sums) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int count = finisher.tiles().count;
  for (int from = 0; from < count; from += kRoundTiles) {
    finisher.foresee(from);
    const int to = min(from + kRoundTiles, count);
    for (int tile = from; tile < to; ++tile) {
      const int at = ((tile - from) * kGemvWarps + warp) * kTileRows;
      reader.multiply_tile(link, x, sums.now + at * link.projection.gemv.rows);
    }
    meet();
    finisher.finish(sums.now);
    sums.swap();
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
  // Constants come a line at a time, from far away when they are read first.
  __shared__ __align__(16) int words[sizeof(given) / sizeof(int)];
  for (unsigned i = threadIdx.x; i < sizeof(given) / sizeof(int); i += kChainThreads) {
    words[i] = reinterpret_cast<const int*>(&given)[i];
  }
  const auto& chain = *reinterpret_cast<const ChainArgs<T>*>(words);
  if (threadIdx.x == 0) {
    ring.prepare();
  }
  if (given.clears) {
    clear_ring(ring_memory, given.stages);
  }
  __syncthreads();
  if (threadIdx.x >= kGemvThreads) {
    const int warp = static_cast<int>(threadIdx.x - kGemvThreads) / kWarp;
    for (int i = warp; i < chain.count; i += kCopyWarps) {
      prefetch_norm(chain.links[i].projection.gemv);
    }
    RingFiller<T> filler(ring, ring_memory, chain.stages, warp);
    for (int i = 0; i < chain.count; ++i) {
      filler.fill(chain.links[i]);
    }
    return;
  }
  T* x = reinterpret_cast<T*>(ring_memory + chain.stages * kStageBytes);
  auto* room = reinterpret_cast<float*>(ring_memory + chain.stages * kStageBytes + chain.staged);
  RoundSums sums = {room, room + round_bytes(chain.rows) / sizeof(float)};
  TileReader<T> reader(ring, ring_memory, chain.stages);
  PostSet<T> posts(chain);
#pragma unroll 1
  for (int i = 0; i < chain.count; ++i) {
    const auto& link = chain.links[i];
    if (i == chain.ahead) {
      wait_for_inputs();
    } else if (i == 0) {
      hear_end(chain.arrivals + 1);
    }
    if (i == 0) {
      posts.begin();
    }
    RowStager<T>(link.projection.gemv, posts.at(link.reads)).stage(x);
    Finisher<T> finisher(link, posts);
    run_link(link, reader, finisher, x, sums);
    if (i == 0) {
      posts.empty_other();
    }
  }
  posts.end();
  if (chain.ahead == chain.count) {
    wait_for_inputs();  // this kernel ends after the one before it
  }
  if (chain.tells) {
    tell_end(chain.arrivals + 1);
  }
#endif
}

}  // namespace kvg::kernels
