#include <algorithm>

#include "kernels/codec.h"
#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_reduce.cuh"
#include "kernels/cuda/scoring_scratch.cuh"

// R-KV in three launches: keys made of length 1; their likeness, tile by tile, of which a row's sum
// and the newest alike are all that is kept (the matrix is symmetric, so a row's sum is a
// column's); the softmaxes. Heads that are not full cost the launches alone.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 64;                          // rows, and columns, of a tile
constexpr int kOwn = 4;                            // of it, a side of a thread's part
constexpr double kRemovedUnits = 1099511627776.0;  // 2^40

struct RedundancyKernelArgs {
  RedundancyArgs args;
  RedundancyScratch scratch;
  std::int64_t width;  // slots of a head in scratch
};

// One kv_head of a batch row.
struct Head {
  const RedundancyArgs& args;
  int index;
  std::int64_t batch;
  int kv_head;
  HeadCursor cursor;
  std::int32_t newest;  // position
  std::int64_t scratch_at;

  __device__ Head(const RedundancyKernelArgs& kernel, int number)
      : args(kernel.args),
        index(number),
        batch(number / args.shape.kv_heads),
        kv_head(number % args.shape.kv_heads),
        cursor(args.keys.heads[number]),
        newest(args.cursor == nullptr ? cursor.entries - 1 : args.cursor->position),
        scratch_at(number * kernel.width) {}

  __device__ bool is_due() const { return args.always || cursor.entries >= cursor.limit; }
  // Of slot 0 in arrays of [batch, slots].
  __device__ std::int64_t slots_at() const { return batch * args.keys.slots + cursor.start; }
  __device__ std::int32_t position_of(int slot) const {
    if (args.cursor != nullptr && slot == cursor.slot) {
      return newest;
    }
    return args.positions == nullptr ? slot : args.positions[slots_at() + slot];
  }
  __device__ bool is_older(std::int32_t position) const { return position <= newest - args.window; }
  __device__ float* logits_of(int window_row) const {
    const std::int64_t heads = static_cast<std::int64_t>(args.batch) * args.shape.kv_heads;
    return args.logits + (window_row * heads + index) * args.keys.capacity;
  }
};

// The newest query's logit of a slot, the largest of the group.
__device__ void put_logit(const Head& head, int slot) {
  const RedundancyArgs& args = head.args;
  const int group = args.shape.heads / args.shape.kv_heads;
  const float* rows = args.rows +
                      (head.batch * args.shape.heads + head.kv_head * group) * args.keys.capacity +
                      slot;
  float largest = rows[0];
  for (int member = 1; member < group; ++member) {
    largest = fmaxf(largest, rows[member * args.keys.capacity]);
  }
  head.logits_of(head.newest % args.window)[slot] = largest;
}

// A stored channel, transformed as it is stored: no transform changes an angle.
__device__ float read_channel(const StoredSide& side, std::int64_t row, int channel) {
  const Form& form = side.form;
  const auto* codes = static_cast<const std::byte*>(side.codes) +
                      row * static_cast<std::int64_t>(code_row_bytes(form, side.channels));
  const std::int64_t scale_row = form.per_channel ? row / form.group : row;
  const auto* scales = static_cast<const std::byte*>(side.scales) +
                       scale_row * static_cast<std::int64_t>(scale_row_bytes(form, side.channels));
  return decode(
      form, code_at(form, codes, channel), read_scale(form, scales, scale_index(form, channel)));
}

// A warp takes one slot. Keys go to scratch by channel: [channels, capacity].
__global__ void __launch_bounds__(kThreads) unit_keys_kernel(RedundancyKernelArgs kernel) {
  allow_next();
  wait_for_inputs();
  const RedundancyArgs& args = kernel.args;
  const Head head(kernel, static_cast<int>(blockIdx.y));
  const int slot = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (slot >= head.cursor.entries) {
    return;
  }
  if (args.rows != nullptr && lane == 0) {
    put_logit(head, slot);
  }
  if (!head.is_due()) {
    return;
  }
  if (slot >= kernel.width) {
    __trap();  // the workspace was reserved for fewer; synchronize() reports it
  }
  const StoredSide& side = args.keys.keys;
  const std::int64_t row = head.slots_at() + slot;
  double square = 0.0;
  for (int c = lane; c < side.channels; c += kWarp) {
    const double x = read_channel(side, row, c);
    square += x * x;
  }
  const double norm = fmax(sqrt(warp_sum(square)), kLeastNorm);
  float* units = kernel.scratch.units + head.scratch_at * args.shape.head_dim + slot;
  for (int c = lane; c < side.channels; c += kWarp) {
    units[c * kernel.width] =
        static_cast<float>(static_cast<double>(read_channel(side, row, c)) / norm);
  }
  if (lane == 0) {
    kernel.scratch.removed[head.scratch_at + slot] = 0;
  }
}

// The newest other entry that a row is like.
struct Newest {
  std::int32_t position = -1;
  std::int32_t slot = -1;
  float likeness = 0.0F;
};

__device__ Newest newer(const Newest& a, const Newest& b) {
  return a.position >= b.position ? a : b;
}

// What a thread's rows add up to over all columns.
struct RowTotals {
  double sum[kOwn] = {};
  int older[kOwn] = {};  // entries of lower positions
  Newest newest[kOwn];
};

struct LikenessShared {
  std::int32_t row_positions[kTile];
  std::int32_t column_positions[kTile];
};

// Rows of [channels, kTile] out of rows of `width`.
__device__ void load_units(float* out,
                           const float* units,
                           int2 slots_channels,
                           std::int64_t width) {
  for (int i = threadIdx.x; i < slots_channels.y * kTile; i += kThreads) {
    const int slot = i % kTile;
    out[i] = slot < slots_channels.x ? units[i / kTile * width + slot] : 0.0F;
  }
}

__device__ void load_positions(std::int32_t* out, const Head& head, int first) {
  if (threadIdx.x < kTile) {
    const int slot = first + static_cast<int>(threadIdx.x);
    out[threadIdx.x] = slot < head.cursor.entries ? head.position_of(slot) : 0x7fffffff;
  }
}

__device__ void multiply_tile(float (&products)[kOwn][kOwn],
                              const float* rows,
                              const float* columns,
                              int channels) {
  for (int c = 0; c < channels; ++c) {
    const float4 a = *reinterpret_cast<const float4*>(rows + c * kTile);
    const float4 b = *reinterpret_cast<const float4*>(columns + c * kTile);
    const float as[kOwn] = {a.x, a.y, a.z, a.w};
    const float bs[kOwn] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
#pragma unroll
      for (int k = 0; k < kOwn; ++k) {
        products[r][k] = fmaf(as[r], bs[k], products[r][k]);
      }
    }
  }
}

// Slots beyond the entries have products of 0 and the highest positions.
__device__ void take_tile(RowTotals& totals,
                          const float (&products)[kOwn][kOwn],
                          const LikenessShared& shared,
                          int2 slots,  // of the thread's first row and column
                          double threshold) {
#pragma unroll
  for (int r = 0; r < kOwn; ++r) {
    const std::int32_t own = shared.row_positions[slots.x % kTile + r];
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int slot = slots.y + k;
      const std::int32_t position = shared.column_positions[slot % kTile];
      totals.older[r] += position < own ? 1 : 0;
      const float likeness = slot == slots.x + r ? 0.0F : products[r][k];
      totals.sum[r] += static_cast<double>(likeness);
      if (static_cast<double>(likeness) > threshold) {
        totals.newest[r] = newer(totals.newest[r], {position, slot, likeness});
      }
    }
  }
}

// Joins the 16 threads that share rows and writes them down.
__device__ void write_totals(const RedundancyKernelArgs& kernel,
                             const Head& head,
                             RowTotals& totals,
                             int first_slot) {
#pragma unroll
  for (int r = 0; r < kOwn; ++r) {
#pragma unroll
    for (int step = kTile / kOwn / 2; step > 0; step /= 2) {
      totals.sum[r] += __shfl_xor_sync(kAllLanes, totals.sum[r], step);
      totals.older[r] += __shfl_xor_sync(kAllLanes, totals.older[r], step);
      const Newest other = {__shfl_xor_sync(kAllLanes, totals.newest[r].position, step),
                            __shfl_xor_sync(kAllLanes, totals.newest[r].slot, step),
                            __shfl_xor_sync(kAllLanes, totals.newest[r].likeness, step)};
      totals.newest[r] = newer(totals.newest[r], other);
    }
    const int slot = first_slot + r;
    if (threadIdx.x % (kTile / kOwn) != 0 || slot >= head.cursor.entries) {
      continue;
    }
    kernel.scratch.likeness[head.scratch_at + slot] = totals.sum[r];
    kernel.scratch.age[head.scratch_at + slot] = totals.older[r];
    const Newest& newest = totals.newest[r];
    if (newest.slot >= 0) {
      const auto units =
          static_cast<long long>(rint(static_cast<double>(newest.likeness) * kRemovedUnits));
      atomicAdd(&kernel.scratch.removed[head.scratch_at + newest.slot],
                static_cast<unsigned long long>(units));
    }
  }
}

// Block: 64 rows x (batch row, kv_head).
__global__ void __launch_bounds__(kThreads) likeness_kernel(RedundancyKernelArgs kernel) {
  extern __shared__ __align__(16) unsigned char raw[];
  __shared__ LikenessShared shared;
  allow_next();
  wait_for_inputs();
  const RedundancyArgs& args = kernel.args;
  const Head head(kernel, static_cast<int>(blockIdx.y));
  const int entries = head.cursor.entries;
  const int first = static_cast<int>(blockIdx.x) * kTile;
  if (first >= entries || !head.is_due()) {
    return;
  }
  const int channels = args.keys.keys.channels;
  auto* rows = reinterpret_cast<float*>(raw);  // [channels, kTile]
  float* columns = rows + channels * kTile;
  const float* units = kernel.scratch.units + head.scratch_at * args.shape.head_dim;
  const int own_row = static_cast<int>(threadIdx.x) / (kTile / kOwn) * kOwn;
  const int own_column = static_cast<int>(threadIdx.x) % (kTile / kOwn) * kOwn;
  load_units(rows, units + first, make_int2(entries - first, channels), kernel.width);
  load_positions(shared.row_positions, head, first);
  RowTotals totals;
  for (int column = 0; column < entries; column += kTile) {
    load_units(columns, units + column, make_int2(entries - column, channels), kernel.width);
    load_positions(shared.column_positions, head, column);
    __syncthreads();
    float products[kOwn][kOwn] = {};
    multiply_tile(products, rows + own_row, columns + own_column, channels);
    take_tile(
        totals, products, shared, make_int2(first + own_row, column + own_column), args.threshold);
    __syncthreads();
  }
  write_totals(kernel, head, totals, first + own_row);
}

// Fills `importance`, by age: the mean over the window of the softmax over the older entries.
__device__ void average_attention(const Head& head,
                                  const std::int32_t* age,
                                  double* importance,
                                  int older) {
  const int entries = head.cursor.entries;
  for (int i = threadIdx.x; i < older; i += kScoringBlock) {
    importance[i] = 0.0;
  }
  for (int query = 0; query < head.args.window; ++query) {
    const float* logits = head.logits_of(query);
    double largest = -INFINITY;
    for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
      largest = age[slot] < older ? fmax(largest, static_cast<double>(logits[slot])) : largest;
    }
    largest = block_max(largest);
    double sum = 0.0;
    for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
      sum += age[slot] < older ? exp(static_cast<double>(logits[slot]) - largest) : 0.0;
    }
    sum = block_sum(sum);
    // A slot's age has the same thread in every turn, but another one set it to 0: block_max() lies
    // between.
    for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
      if (age[slot] < older) {
        importance[age[slot]] +=
            exp(static_cast<double>(logits[slot]) - largest) / sum / head.args.window;
      }
    }
  }
  __syncthreads();
}

// Block: a kv_head of a batch row.
__global__ void __launch_bounds__(kScoringBlock)
    redundancy_scores_kernel(RedundancyKernelArgs kernel) {
  allow_next();
  wait_for_inputs();
  const RedundancyArgs& args = kernel.args;
  const Head head(kernel, static_cast<int>(blockIdx.x));
  const int entries = head.cursor.entries;
  if (!head.is_due() || entries == 0) {
    return;
  }
  double* likeness = kernel.scratch.likeness + head.scratch_at;
  const unsigned long long* removed = kernel.scratch.removed + head.scratch_at;
  const std::int32_t* age = kernel.scratch.age + head.scratch_at;
  double* importance = kernel.scratch.importance + head.scratch_at;
  double count = 0.0;
  double largest = -INFINITY;
  for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
    count += head.is_older(head.position_of(slot)) ? 1.0 : 0.0;
    const auto units = static_cast<double>(static_cast<long long>(removed[slot]));
    likeness[slot] = (likeness[slot] - units / kRemovedUnits) / entries;
    largest = fmax(largest, likeness[slot]);
  }
  const int older = static_cast<int>(block_sum(count));
  largest = block_max(largest);
  double sum = 0.0;
  for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
    sum += exp(likeness[slot] - largest);
  }
  sum = block_sum(sum);
  average_attention(head, age, importance, older);
  double* scores = args.scores + head.slots_at();
  const int half = args.kernel / 2;
  for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
    if (age[slot] >= older) {
      scores[slot] = INFINITY;
      continue;
    }
    double near = 0.0;
    for (int i = max(age[slot] - half, 0); i < min(age[slot] + half + 1, older); ++i) {
      near = fmax(near, importance[i]);
    }
    const double redundancy = exp(likeness[slot] - largest) / sum;
    scores[slot] = args.lambda * near - (1.0 - args.lambda) * redundancy;
  }
}

}  // namespace

void CudaScoring::redundancy(const RedundancyArgs& args) {
  const StoredSide& side = args.keys.keys;
  KVG_EXPECT(args.shape.kv_heads > 0 && args.shape.heads % args.shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
  if (args.batch == 0 || args.keys.capacity == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  const std::int64_t width = std::min(args.keys.capacity, scored_slots_);
  const RedundancyKernelArgs kernel = {
      .args = args,
      .scratch =
          redundancy_scratch(memory, {.heads = args.shape, .batch = args.batch, .count = width}),
      .width = width};
  const auto rows = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  const auto slots = static_cast<std::size_t>(args.keys.capacity);
  launch(target_,
         unit_keys_kernel,
         {.blocks = dim3(ceil_div(slots * kWarp, kThreads), rows), .threads = kThreads},
         kernel);
  launch(target_,
         likeness_kernel,
         {.blocks = dim3(ceil_div(slots, kTile), rows),
          .threads = kThreads,
          .shared_bytes = 2 * static_cast<std::size_t>(side.channels) * kTile * sizeof(float)},
         kernel);
  launch(
      target_, redundancy_scores_kernel, {.blocks = dim3(rows), .threads = kScoringBlock}, kernel);
}

}  // namespace kvg::kernels
