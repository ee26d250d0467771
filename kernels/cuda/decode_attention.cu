#include <algorithm>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/decode_tiles.cuh"
#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/reduce.cuh"

// Attention of one query per head: bound by reading keys and values once. A block takes a chunk of
// the entries of one kv_head for up to `Group` of its queries at once, moving tiles of entries
// through shared memory two deep. The chunk length follows from the number of entries and
// kv_heads alone; the grid holds as many chunks as the capacity can need, and blocks beyond the
// entries leave. The
// chunk that arrives last merges all, in order, so that the result does not depend on who that is.

namespace kvg::kernels {
namespace {

constexpr int kThreads = kAttendThreads;
constexpr int kMaxChunks = 32;
constexpr int kMinChunk = 64;
constexpr int kMinMostChunks = 8;
constexpr int kBusyBlocks = 512;
constexpr float kLog2E = 1.4426950408889634F;

// Entries of a chunk when at most `most` chunks may be made of `entries`.
__host__ __device__ constexpr int chunk_length(std::int64_t entries, int most) {
  int length = kMinChunk;
  while (static_cast<std::int64_t>(length) * most < entries) {
    length *= 2;
  }
  return length;
}

// Most chunks of a kv_head: all kv_heads together keep a large card busy.
constexpr int most_chunks(const HeadShape& shape) {
  return std::clamp(kBusyBlocks / std::max(shape.kv_heads, 1), kMinMostChunks, kMaxChunks);
}

constexpr int chunk_count(const HeadShape& shape, std::int64_t capacity) {
  return static_cast<int>(
      std::min<std::int64_t>(most_chunks(shape), (capacity + kMinChunk - 1) / kMinChunk));
}

struct AttendKernelArgs {
  AttendArgs op;
  AttendScratch scratch;
  int chunks;       // of the grid
  int most_chunks;  // of any number of entries
  int group;        // queries of a kv_head
  int tiles;        // parts of a group
};

// Addresses of this block's work.
template <typename T, int Dim>
struct Work {
  const T* keys;
  const T* values;
  std::int64_t first_query;  // [batch, heads] index
  int queries;               // of this block, at most Group
  int begin;
  int end;
};

// True in the block that is the last of `count` to come here; the counter is ready for the next.
__device__ bool is_last(unsigned* arrivals, int count) {
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

// A partial result: Dim sums, then the largest score and the sum of weights.
template <int Dim>
constexpr int kPartial = Dim + 4;

// The share of each chunk in each query's result: weights[query][chunk].
template <int Dim>
__device__ void weigh_chunks(const float* partials,
                             int2 queries_count,
                             int chunks,
                             float* weights) {
  static_assert(kMaxChunks <= kWarp);
  const int chunk = threadIdx.x % kWarp;
  for (int q = threadIdx.x / kWarp; q < queries_count.x; q += kAttendWarps) {
    const bool present = chunk < queries_count.y;
    const float* tail = partials + (q * chunks + chunk) * kPartial<Dim> + Dim;
    const float own = present ? __ldcg(tail) : -INFINITY;
    const float sum = present ? __ldcg(tail + 1) : 0.0F;
    const float weight = exp2f(own - warp_max(own));
    weights[q * kMaxChunks + chunk] = weight / warp_sum(weight * sum);
  }
}

// Merges the chunks of this block's queries. A thread takes four channels of one query; where that
// leaves threads over, several share the chunks of the same channels.
template <typename T, int Dim>
__device__ void merge_chunks(const AttendKernelArgs& args,
                             const Work<T, Dim>& work,
                             int count,
                             float* shared) {
  constexpr int kQuads = Dim / 4;
  float* weights = shared;
  auto* gathered = reinterpret_cast<float4*>(shared + work.queries * kMaxChunks);
  const float* partials = args.scratch.partials + work.first_query * args.chunks * kPartial<Dim>;
  weigh_chunks<Dim>(partials, make_int2(work.queries, count), args.chunks, weights);
  __syncthreads();
  const int items = work.queries * kQuads;
  const int shares = max(1, kThreads / items);
  const int share = static_cast<int>(threadIdx.x) / items;
  for (int i = threadIdx.x; i < items * shares; i += kThreads) {
    const int item = shares > 1 ? i % items : i;
    const int query = item / kQuads;
    const float* from = partials + query * args.chunks * kPartial<Dim> + item % kQuads * 4;
    float4 sum = {};
#pragma unroll 16
    for (int chunk = shares > 1 ? share : 0; chunk < count; chunk += shares) {
      const float weight = weights[query * kMaxChunks + chunk];
      const float4 part = __ldcg(reinterpret_cast<const float4*>(from + chunk * kPartial<Dim>));
      sum.x = fmaf(weight, part.x, sum.x);
      sum.y = fmaf(weight, part.y, sum.y);
      sum.z = fmaf(weight, part.z, sum.z);
      sum.w = fmaf(weight, part.w, sum.w);
    }
    gathered[i] = sum;
  }
  __syncthreads();
  const float* sums = reinterpret_cast<const float*>(gathered);
  T* out = static_cast<T*>(args.op.out) + work.first_query * Dim;
  for (int i = threadIdx.x; i < items * 4; i += kThreads) {
    float sum = 0.0F;
    for (int from = 0; from < shares; ++from) {
      sum += sums[from * items * 4 + i];
    }
    out[i] = from_float<T>(sum);
  }
}

template <typename T, int Dim, int Group>
__device__ void stage_queries(const AttendKernelArgs& args,
                              const Work<T, Dim>& work,
                              float* queries) {
  const float scale = args.op.scale * kLog2E;
  const bool has_sinks = args.op.sink_query != nullptr && args.op.sinks > 0;
  const T* plain = static_cast<const T*>(args.op.query) + work.first_query * Dim;
  const T* sink = static_cast<const T*>(args.op.sink_query) + work.first_query * Dim;
  for (int i = threadIdx.x; i < Group * Dim; i += kThreads) {
    const bool present = i < work.queries * Dim;
    queries[i] = present ? to_float(plain[i]) * scale : 0.0F;
    if (has_sinks) {
      queries[Group * Dim + i] = present ? to_float(sink[i]) * scale : 0.0F;
    }
  }
}

template <typename T, int Dim, int Group>
struct AttendShared {
  static constexpr int kGather = kThreads * Pack<T>::kCount;
  alignas(16) T tiles[2][2][Tile<T, Dim>::kElements];  // stage; keys, values
  alignas(16) float queries[2 * Group * Dim];
  float scores[Tile<T, Dim>::kEntries * Group];
  float gathered[kGather];
  float sums[Dim];
  float decay[Group];
  Softmax running[Group];
};

// Runs this block's chunk through shared memory.
template <typename T, int Dim, int Group>
__device__ void attend_chunk(const AttendKernelArgs& args,
                             const Work<T, Dim>& work,
                             AttendShared<T, Dim, Group>& shared,
                             float (&mixed)[Group][Pack<T>::kCount]) {
  constexpr int kEntries = Tile<T, Dim>::kEntries;
  // Entries beyond the end become zeros: their weight is 0, and 0 x garbage could be NaN.
  const auto load = [&](int stage, int begin) {
    constexpr int kStride = Tile<T, Dim>::kStride;
    const std::int64_t at = static_cast<std::int64_t>(begin) * Dim;
    const int2 rows = make_int2(kEntries, work.end - begin);
    copy_rows<T, Dim, kStride, kThreads>(shared.tiles[stage][0], work.keys + at, rows, Dim);
    copy_rows<T, Dim, kStride, kThreads>(shared.tiles[stage][1], work.values + at, rows, Dim);
  };
  load(0, work.begin);
  stage_queries<T, Dim, Group>(args, work, shared.queries);
  if (threadIdx.x < Group) {
    shared.running[threadIdx.x] = {-INFINITY, 0.0F};
  }
  const int sinks = args.op.sink_query != nullptr ? args.op.sinks : 0;
  int stage = 0;
  for (int begin = work.begin; begin < work.end; begin += kEntries, stage ^= 1) {
    const bool more = begin + kEntries < work.end;
    if (more) {
      load(stage ^ 1, begin + kEntries);
      wait_copies<3>();
    } else {
      wait_copies<1>();
    }
    score_tile<T, Dim, Group>(shared.tiles[stage][0],
                              shared.queries,
                              shared.scores,
                              make_int2(sinks - begin, work.end - begin));
    __syncthreads();
    weigh_tile<kEntries, Group>(shared.scores, shared.running, shared.decay);
    if (more) {
      wait_copies<2>();
    } else {
      wait_copies<0>();
    }
    mix_tile<T, Dim, Group>(shared.tiles[stage][1], shared.scores, shared.decay, mixed);
    __syncthreads();
  }
}

template <typename T, int Dim, int Group>
__global__ void __launch_bounds__(kThreads) attend_kernel(AttendKernelArgs args) {
  extern __shared__ __align__(16) unsigned char raw[];
  auto& shared = *reinterpret_cast<AttendShared<T, Dim, Group>*>(raw);
  allow_next();
  wait_for_inputs();
  const int kv_head = blockIdx.y / args.tiles;
  const std::int64_t batch = blockIdx.z;
  const HeadCursor& head = args.op.kv.heads[batch * args.op.shape.kv_heads + kv_head];
  const int entries = head.entries;
  const int length = chunk_length(entries, args.most_chunks);
  const int count = (entries + length - 1) / length;
  const int chunk = blockIdx.x;
  if (chunk >= count) {
    return;
  }
  const int first = blockIdx.y % args.tiles * Group;
  const std::int64_t start = (batch * args.op.kv.slots + head.start) * Dim;
  const Work<T, Dim> work = {
      static_cast<const T*>(args.op.kv.keys.codes) + start,
      static_cast<const T*>(args.op.kv.values.codes) + start,
      batch * args.op.shape.heads + static_cast<std::int64_t>(kv_head) * args.group + first,
      min(Group, args.group - first),
      chunk * length,
      min(entries, (chunk + 1) * length)};
  float mixed[Group][Pack<T>::kCount] = {};
  attend_chunk<T, Dim, Group>(args, work, shared, mixed);

#pragma unroll
  for (int g = 0; g < Group; ++g) {
    gather_mixed<T, Dim>(mixed[g], shared.gathered, shared.sums);
    if (g < work.queries) {
      float* partial =
          args.scratch.partials + ((work.first_query + g) * args.chunks + chunk) * kPartial<Dim>;
      // Each thread writes what it summed itself, so no barrier is needed.
      for (int i = threadIdx.x; i < Dim; i += kThreads) {
        partial[i] = shared.sums[i];
      }
      if (threadIdx.x == 0) {
        partial[Dim] = shared.running[g].largest;
        partial[Dim + 1] = shared.running[g].sum;
      }
    }
  }
  unsigned* arrivals = args.scratch.arrivals + batch * gridDim.y + blockIdx.y;
  if (is_last(arrivals, count)) {
    merge_chunks<T, Dim>(args, work, count, reinterpret_cast<float*>(shared.tiles));
  }
}

template <typename T, int Dim, int Group>
void launch_attend(const Target& target, AttendKernelArgs args) {
  args.tiles = static_cast<int>(ceil_div(args.group, Group));
  launch(target,
         attend_kernel<T, Dim, Group>,
         {.blocks = dim3(static_cast<unsigned>(args.chunks),
                         static_cast<unsigned>(args.op.shape.kv_heads * args.tiles),
                         static_cast<unsigned>(args.op.batch)),
          .threads = kThreads,
          .shared_bytes = sizeof(AttendShared<T, Dim, Group>)},
         args);
}

template <typename T, int Dim>
void launch_attend(const Target& target, const AttendKernelArgs& args) {
  if (args.group == 1) {
    launch_attend<T, Dim, 1>(target, args);
  } else if (args.group <= 4 || sizeof(T) == 4) {
    launch_attend<T, Dim, 4>(target, args);
  } else if constexpr (sizeof(T) == 2) {
    launch_attend<T, Dim, 8>(target, args);
  }
}

}  // namespace

std::size_t attend_partial_bytes(const HeadShape& shape, int batch, std::int64_t entries) {
  return sizeof(float) * static_cast<std::size_t>(batch) * static_cast<std::size_t>(shape.heads) *
         static_cast<std::size_t>(chunk_count(shape, entries)) *
         static_cast<std::size_t>(shape.head_dim + 4);
}

std::size_t attend_arrival_bytes(const HeadShape& shape, int batch) {
  return sizeof(unsigned) * static_cast<std::size_t>(batch) * static_cast<std::size_t>(shape.heads);
}

void decode_attend(const Target& target,
                   DType compute,
                   const AttendArgs& args,
                   const AttendScratch& scratch) {
  const AttendKernelArgs kernel_args = {.op = args,
                                        .scratch = scratch,
                                        .chunks = chunk_count(args.shape, args.kv.capacity),
                                        .most_chunks = most_chunks(args.shape),
                                        .group = args.shape.heads / args.shape.kv_heads,
                                        .tiles = 1};
  dispatch_element(compute, [&](auto element) {
    using T = decltype(element);
    dispatch_head_dim("decode attention", args.shape.head_dim, [&](auto dim) {
      launch_attend<T, decltype(dim)::value>(target, kernel_args);
    });
  });
}

}  // namespace kvg::kernels
