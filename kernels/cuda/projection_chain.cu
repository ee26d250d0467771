#include <algorithm>

#include "kernels/cuda/gemv_elements.cuh"
#include "kernels/cuda/gemv_ring.cuh"
#include "kernels/cuda/projection_chain.cuh"

namespace kvg::kernels {
namespace {

constexpr int kRoundTiles = 2;  // whose sums are held at once
// Fewer stages of the ring than these do not keep the memory busy.
constexpr int kFewStages = 4;

constexpr int kChainThreads = kGemvThreads + kCopyWarps * kWarp;

// Shared memory for the sums of a round.
constexpr std::size_t round_bytes(int rows) {
  return sizeof(float) * kRoundTiles * kTileRows * kGemvWarps * static_cast<std::size_t>(rows);
}

// Adds up the warps' sums of the tiles [from, to) and finishes their units.
template <typename Epilogue>
__device__ void finish_tiles(
    const Tiles& tiles, const Epilogue& epilogue, int2 from_to, const float* sums, int rows) {
  constexpr int kWidth = Epilogue::kWidth;
  constexpr int kUnits = kTileRows / kWidth;
  const int slots = (from_to.y - from_to.x) * kUnits;
  for (int i = threadIdx.x; i < slots * rows; i += kGemvThreads) {
    const int input = i / slots;
    const int tile = i % slots / kUnits;
    const int own = i % kUnits;
    const int unit = tiles.begin(from_to.x + tile) + own;
    if (unit >= tiles.begin(from_to.x + tile + 1)) {
      continue;
    }
    float total[kWidth] = {};
#pragma unroll
    for (int warp = 0; warp < kGemvWarps; ++warp) {
#pragma unroll
      for (int which = 0; which < kWidth; ++which) {
        const int row = (tile * kGemvWarps + warp) * kTileRows + own + which * kTileRows / 2;
        total[which] += sums[row * rows + input];
      }
    }
    epilogue.finish(tiles.first + unit, input, total);
  }
}

// Columns behind the end of a row meet inputs of 0, and what they hold has to be a number.
__device__ void clear_ring(unsigned char* room, int stages) {
  auto* packs = reinterpret_cast<uint4*>(room);
  for (std::size_t i = threadIdx.x; i < stages * kStageBytes / sizeof(uint4); i += blockDim.x) {
    packs[i] = uint4{};
  }
  publish_box();
}

template <typename T>
__device__ void run_projection(const Projection<T>& projection,
                               TileReader<T>& reader,
                               const T* x,
                               float* sums) {
  const GemvArgs& args = projection.gemv;
  const Tiles tiles = tiles_of(projection);
  const int warp = threadIdx.x / kWarp;
  // Two buffers of sums take turns, so that one barrier a round is enough.
  float* now = sums;
  float* next = sums + round_bytes(args.rows) / sizeof(float);
  for (int from = 0; from < tiles.count; from += kRoundTiles) {
    const int to = min(from + kRoundTiles, tiles.count);
    for (int tile = from; tile < to; ++tile) {
      const int at = ((tile - from) * kGemvWarps + warp) * kTileRows;
      reader.multiply_tile(args, x, now + at * args.rows);
    }
    meet();
    projection.with_epilogue([&](const auto& epilogue) {
      finish_tiles(tiles, epilogue, make_int2(from, to), now, args.rows);
    });
    float* const done = now;
    now = next;
    next = done;
  }
}

// Waits until every block of the grid is here and sees what they all wrote. All of them have to be
// on the device at once. The count runs round at twice the blocks, so that which half it is in
// tells whether the last block has come.
__device__ void wait_for_blocks(unsigned* arrivals) {
  meet();
  if (threadIdx.x == 0) {
    __threadfence();
    const unsigned blocks = gridDim.x;
    const unsigned half = atomicInc(arrivals, 2 * blocks - 1) / blocks;
    unsigned count = 0;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(arrivals) : "memory");
    } while (count / blocks == half);
  }
  meet();
}

template <typename T>
__global__ void __launch_bounds__(kChainThreads, 1)
    chain_kernel(const __grid_constant__ ChainArgs<T> chain) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ WeightRing ring;
  if (threadIdx.x == 0) {
    ring.prepare();
  }
  if (chain.clears) {
    clear_ring(shared, chain.stages);
  }
  __syncthreads();
  if (threadIdx.x >= kGemvThreads) {
    fill_ring(chain, ring, shared, (threadIdx.x - kGemvThreads) / kWarp);
    // All is on its way. Blocks of the next kernel that came earlier would only share in the
    // bandwidth; now they keep the memory busy while this one ends.
    allow_next();
    return;
  }
  T* x = reinterpret_cast<T*>(shared + chain.stages * kStageBytes);
  float* sums = reinterpret_cast<float*>(shared + chain.stages * kStageBytes + chain.staged);
  TileReader<T> reader(ring, shared, chain.stages);
  for (int i = 0; i < chain.count; ++i) {
    const auto& link = chain.links[i];
    RowStager<T> stager(link.projection.gemv);
    if (i == 0) {
      wait_for_inputs();
    } else if (link.waits) {
      wait_for_blocks(chain.arrivals);
    } else {
      meet();
    }
    stager.stage(x);
    run_projection(link.projection, reader, x, sums);
  }
#endif
}

// Bytes of the staged input of a projection.
constexpr std::size_t staged_bytes(int rows, int length) {
  return elements_bytes(rows, length, 2);
}

// Steps that the ring holds beside `staged` bytes of input.
int ring_stages(const Target& target, int rows, std::size_t staged) {
  // What the kernel declares: the statistics of rows.
  constexpr std::size_t kDeclared =
      (kMaxDecodeRows + 1) * kGemvWarps * sizeof(Moments) + sizeof(WeightRing);
  const std::size_t beside = staged + 2 * round_bytes(rows) + kDeclared;
  const auto whole = static_cast<std::size_t>(target.shared_bytes);
  const std::size_t most = whole < beside ? 0 : (whole - beside) / kStageBytes;
  return std::min(static_cast<int>(most) / 2 * 2, kMostStages);
}

std::size_t row_bytes(int rows, int width, DType dtype) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width) * size_of(dtype);
}

}  // namespace

bool fits_decode(const Target& target, DType compute, int rows, int in) {
  if (rows > kMaxDecodeRows) {
    return false;
  }
  if (compute != DType::kF32 && target.overlaps) {
    return ring_stages(target, rows, staged_bytes(rows, in)) >= kFewStages;
  }
  // What a kernel declares besides: the statistics of the rows.
  constexpr std::size_t kDeclaredBytes = kMaxDecodeRows * kGemvWarps * sizeof(Moments);
  return elements_bytes(rows, in, size_of(compute)) + kDeclaredBytes <=
         static_cast<std::size_t>(target.shared_bytes);
}

bool ProjectionChain::takes(const Linear& linear) const {
  return target_.overlaps && compute_ != DType::kF32 && linear.in % Pack<__half>::kCount == 0 &&
         is_aligned(linear.weight, sizeof(Pack<__half>));
}

void ProjectionChain::add(Link link, const Linear& linear) {
  if (takes(linear)) {
    links_.push_back(std::move(link));
    if (links_.size() == kMostLinks) {
      flush();
    }
    return;
  }
  flush();
  dispatch_element(compute_, [&](auto element) {
    std::visit(
        [&](const auto& args) { launch_elements(target_, Projection<decltype(element)>(args)); },
        link.args);
  });
}

void ProjectionChain::add(const ProjectArgs& args) {
  const int features = args.linear.out / (is_gated(args.activation) ? 2 : 1);
  add({.args = args,
       .in = {args.in, row_bytes(args.rows, args.linear.in, DType::kF32)},
       .out = {args.out, row_bytes(args.rows, features, args.out_dtype)}},
      args.linear);
}

void ProjectionChain::add(const AddProjectArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.rows, args.linear.in, compute_)},
       .out = {args.inout, row_bytes(args.rows, args.linear.out, DType::kF32)}},
      args.linear);
}

void ProjectionChain::add(const QkvArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.batch * args.tokens, args.linear.in, DType::kF32)},
       .out = {}},
      args.linear);
  // Its results go to many places, which attention reads next.
  flush();
}

// Whether each link has to wait for those before it: it reads what they write, or writes what they
// touch.
std::vector<bool> ProjectionChain::waits() const {
  const auto meet = [](const Range& a, const Range& b) {
    const auto* first = static_cast<const std::byte*>(a.data);
    const auto* second = static_cast<const std::byte*>(b.data);
    return first < second + b.bytes && second < first + a.bytes;
  };
  std::vector<bool> waits;
  std::size_t since = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const Link& link = links_[i];
    const bool must = std::any_of(links_.begin() + static_cast<std::ptrdiff_t>(since),
                                  links_.begin() + static_cast<std::ptrdiff_t>(i),
                                  [&](const Link& before) {
                                    return meet(link.in, before.out) ||
                                           meet(link.out, before.out) || meet(link.out, before.in);
                                  });
    since = must ? i : since;
    waits.push_back(must);
  }
  return waits;
}

template <typename T>
void ProjectionChain::launch_chain() {
  ChainArgs<T> chain;
  chain.count = static_cast<int>(links_.size());
  const std::vector<bool> waiting = waits();
  int rows = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Projection<T> projection =
        std::visit([](const auto& args) { return Projection<T>(args); }, links_[i].args);
    GemvArgs& gemv = projection.gemv;
    gemv.stride = gemv_stride(gemv.length);
    rows = std::max(rows, gemv.rows);
    chain.clears = chain.clears || gemv.length % kLineColumns != 0;
    chain.staged = std::max(chain.staged, static_cast<int>(staged_bytes(gemv.rows, gemv.length)));
    chain.links[i] = {.projection = projection, .waits = waiting[i]};
  }
  chain.stages = ring_stages(target_, rows, static_cast<std::size_t>(chain.staged));
  if (std::find(waiting.begin(), waiting.end(), true) != waiting.end()) {
    KVG_EXPECT(workspace_ != nullptr, "projections that follow each other have a workspace");
    chain.arrivals = static_cast<unsigned*>(workspace_->at(workspace_->plan().chain));
  }
  launch(target_,
         chain_kernel<T>,
         {.blocks = dim3(static_cast<unsigned>(target_.multiprocessors)),
          .threads = kChainThreads,
          .shared_bytes = static_cast<std::size_t>(chain.stages) * kStageBytes +
                          static_cast<std::size_t>(chain.staged) + 2 * round_bytes(rows)},
         chain);
}

void ProjectionChain::flush() {
  if (links_.empty()) {
    return;
  }
  if (compute_ == DType::kF16) {
    launch_chain<__half>();
  } else {
    launch_chain<__nv_bfloat16>();
  }
  links_.clear();
}

}  // namespace kvg::kernels
