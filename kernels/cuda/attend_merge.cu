#include "kernels/cuda/arguments.cuh"
#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_merge.cuh"

namespace kvg::kernels {
namespace {

constexpr int kMergeThreads = 128;
constexpr int kMergeWarps = kMergeThreads / kWarp;
constexpr int kMostHeadDim = 256;
static_assert(kMergeWarps * kMostHeadDim * sizeof(float) == kMergeBytes);

// The shares of chunks in a query's result, as the lanes of a warp have them: those of chunks
// lane + 32 i.
struct ChunkShares {
  static constexpr int kEach = kMaxChunks / kWarp;
  float own[kEach];

  // `tail`: of the query's first chunk; `stride`: floats from one to the next.
  __device__ ChunkShares(const float* tail, int stride, int chunks) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float weight[kEach];
    float largest = kLeast;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int chunk = lane + i * kWarp;
      const bool present = chunk < chunks;
      own[i] = present ? tail[chunk * stride] : kLeast;
      weight[i] = present ? tail[chunk * stride + 1] : 0.0F;
      largest = fmaxf(largest, own[i]);
    }
    largest = warp_max(largest);
    float total = 0.0F;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] = weight[i] > 0.0F ? exp2_of(own[i] - largest) : 0.0F;
      total += own[i] * weight[i];
    }
    total = warp_sum(total);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] /= total;
    }
  }

  // By all lanes together.
  [[nodiscard]] __device__ float of(int chunk) const {
    float held = own[0];
#pragma unroll
    for (int i = 1; i < kEach; ++i) {
      held = chunk >= i * kWarp ? own[i] : held;
    }
    return __shfl_sync(kAllLanes, held, chunk % kWarp);
  }
};

// The result of the block's query, of `present` chunks. A lane takes four channels, and the warps
// share the chunks. `results`: [kMergeWarps][head_dim]; it is in the first row in the end.
__device__ inline void merge_query(const MergeArgs& args, int present, float* results) {
  constexpr int kAhead = 4;  // parts on their way at once
  const int dim = args.head_dim;
  const int stride = partial_floats(dim);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const float* partials =
      args.partials + static_cast<std::size_t>(blockIdx.x) * args.chunks * stride;
  for (int from = 0; from < dim; from += 4 * kWarp) {
    const int channel = from + static_cast<int>(threadIdx.x) % kWarp * 4;
    float4 sum = {};
    for (int first = warp; first < args.chunks; first += kAhead * kMergeWarps) {
      float4 part[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; ++k) {
        const int chunk = first + k * kMergeWarps;
        if (channel < dim && chunk < present) {
          part[k] = *reinterpret_cast<const float4*>(partials + chunk * stride + channel);
        }
      }
      const ChunkShares shares(partials + dim, stride, present);
#pragma unroll
      for (int k = 0; k < kAhead; ++k) {
        const float share = shares.of(min(first + k * kMergeWarps, kMaxChunks - 1));
        // What an empty chunk left may be anything.
        if (share > 0.0F) {
          sum.x = fmaf(share, part[k].x, sum.x);
          sum.y = fmaf(share, part[k].y, sum.y);
          sum.z = fmaf(share, part[k].z, sum.z);
          sum.w = fmaf(share, part[k].w, sum.w);
        }
      }
    }
    if (channel < dim) {
      *reinterpret_cast<float4*>(results + warp * dim + channel) = sum;
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < dim; i += kMergeThreads) {
    float sum = results[i];
#pragma unroll
    for (int other = 1; other < kMergeWarps; ++other) {
      sum += results[other * dim + i];
    }
    results[i] = sum;  // nobody else reads this place
  }
  __syncthreads();
  turn_outputs<BlockTeam<kMergeThreads>>(args.transform, results, make_int2(1, dim));
}

// A block a query.
__global__ void __launch_bounds__(kMergeThreads, 7)
    merge_kernel(const __grid_constant__ MergeArgs args) {
  __shared__ __align__(16) float results[kMergeWarps * kMostHeadDim];
  allow_next();
  fetch_arguments(args);
  // Code comes from far away as well: the whole way with no chunk first.
#pragma unroll 1
  for (int pass = 0; pass < 2; ++pass) {
    if (pass > 0) {
      wait_for_inputs();
    }
    merge_query(args, pass > 0 ? args.chunks : 0, results);
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < args.head_dim; i += kMergeThreads) {
    put_element(args.out,
                args.compute,
                static_cast<std::int64_t>(blockIdx.x) * args.head_dim + i,
                results[i]);
  }
}

}  // namespace

void merge_chunks(const Target& target, const MergeArgs& args) {
  launch(target,
         merge_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.queries)), .threads = kMergeThreads},
         args);
}

}  // namespace kvg::kernels
