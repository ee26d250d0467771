#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_select.cuh"

// A block finds the threshold of a row's largest figures digit by digit; others then compare.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kScoringBlock)
    raise_threshold_kernel(RaiseArgs args, Threshold* thresholds) {
  allow_next();
  wait_for_inputs();
  const double* by = args.by + static_cast<std::int64_t>(blockIdx.x) * args.width;
  const Threshold threshold = select_largest(
      args.width,
      args.count,
      [&](int i) { return rank_of(by[i]); },
      [](int i) { return static_cast<std::uint64_t>(i); });
  if (threadIdx.x == 0) {
    thresholds[blockIdx.x] = threshold;
  }
}

__global__ void __launch_bounds__(kThreads)
    raise_kernel(RaiseArgs args, const Threshold* thresholds) {
  allow_next();
  wait_for_inputs();
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= args.width) {
    return;
  }
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.y) * args.width + i;
  if (reaches(thresholds[blockIdx.y], rank_of(args.by[at]), static_cast<std::uint64_t>(i))) {
    args.in[at] = INFINITY;
  }
}

// The scores of one row of a choice as they are compared: of one kv_head, or of all of a batch row
// one behind the other.
struct Row {
  const ChooseArgs& args;
  const double* scores;
  int kv_heads;

  __device__ std::uint64_t key(int i) const {
    const int position = i % args.keys;
    if (position >= args.keys - args.recent) {
      return rank_of(INFINITY);
    }
    return rank_of(args.by_age ? scores[i] / (args.keys - position) : scores[i]);
  }
  // The newer are larger, at one position the lower kv_head.
  __device__ std::uint64_t tie(int i) const {
    return static_cast<std::uint64_t>(i % args.keys) * static_cast<unsigned>(kv_heads) +
           static_cast<unsigned>(kv_heads - 1 - i / args.keys);
  }
};

// Lays the heads of a batch row out one behind the other.
__device__ void place_together(const ChooseArgs& args, const Row& row, const Threshold& threshold) {
  std::int32_t start = 0;
  for (int kv_head = 0; kv_head < args.kv_heads; ++kv_head) {
    int own = 0;
    for (int key = threadIdx.x; key < args.keys; key += kScoringBlock) {
      const int i = kv_head * args.keys + key;
      own += reaches(threshold, row.key(i), row.tie(i)) ? 1 : 0;
    }
    const auto kept = static_cast<std::int32_t>(block_sum(own));
    if (threadIdx.x == 0) {
      HeadCursor& head = args.heads[blockIdx.x * args.kv_heads + kv_head];
      head.entries = kept;
      head.slot = kept - 1;
      head.start = start;
      head.limit = kept + args.slack;
    }
    start += (kept + args.slack + args.align - 1) / args.align * args.align;
  }
}

// Block: a row of a choice.
__global__ void __launch_bounds__(kScoringBlock)
    choose_threshold_kernel(ChooseArgs args, Threshold* thresholds) {
  allow_next();
  wait_for_inputs();
  const int kv_heads = args.together ? args.kv_heads : 1;
  const int width = kv_heads * args.keys;
  const Row row = {args, args.scores + static_cast<std::int64_t>(blockIdx.x) * width, kv_heads};
  const int of_head = args.counts == nullptr ? args.count : args.counts[blockIdx.x % args.kv_heads];
  const int count = args.together ? args.count * kv_heads : of_head;
  const Threshold threshold = select_largest(
      width, count, [&](int i) { return row.key(i); }, [&](int i) { return row.tie(i); });
  if (args.together) {
    place_together(args, row, threshold);
  }
  if (threadIdx.x == 0) {
    thresholds[blockIdx.x] = threshold;
    if (!args.together) {
      HeadCursor& head = args.heads[blockIdx.x];
      head.entries = min(max(count, 0), width);
      head.slot = head.entries - 1;
    }
  }
}

// Block: a kv_head of a batch row.
__global__ void __launch_bounds__(kScoringBlock)
    keep_chosen_kernel(ChooseArgs args, const Threshold* thresholds) {
  allow_next();
  wait_for_inputs();
  const std::int64_t batch = blockIdx.x / args.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.x) % args.kv_heads;
  const int row_heads = args.together ? args.kv_heads : 1;
  const int first = args.together ? kv_head * args.keys : 0;
  const double* scores = args.scores + static_cast<std::int64_t>(blockIdx.x) * args.keys;
  const Row row = {args, scores - first, row_heads};
  const Threshold threshold = thresholds[args.together ? batch : blockIdx.x];
  std::int32_t* kept = args.kept + blockIdx.x * args.kept_stride;
  const std::int64_t slot_at =
      args.slot_scores == nullptr ? 0 : batch * args.slots + args.heads[blockIdx.x].start;
  keep_in_order(
      args.keys,
      [&](int key) { return reaches(threshold, row.key(first + key), row.tie(first + key)); },
      [&](int key, int index) {
        kept[index] = key;
        if (args.slot_scores != nullptr) {
          args.slot_scores[slot_at + index] = scores[key];
          args.slot_positions[slot_at + index] = key;
        }
      });
}

}  // namespace

void CudaScoring::raise(const RaiseArgs& args) {
  if (args.rows == 0 || args.width == 0 || args.count <= 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  const auto rows = static_cast<unsigned>(args.rows);
  Threshold* const thresholds =
      threshold_scratch(memory, {.heads = {.kv_heads = args.rows}, .batch = 1});
  launch(target_,
         raise_threshold_kernel,
         {.blocks = dim3(rows), .threads = kScoringBlock},
         args,
         thresholds);
  launch(target_,
         raise_kernel,
         {.blocks = dim3(ceil_div(static_cast<std::size_t>(args.width), kThreads), rows),
          .threads = kThreads},
         args,
         thresholds);
}

void CudaScoring::choose(const ChooseArgs& args) {
  KVG_EXPECT(!args.together || (args.counts == nullptr && args.count > 0 && args.align > 0),
             "heads that choose together share one count");
  if (args.batch == 0 || args.kv_heads == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  Threshold* const thresholds =
      threshold_scratch(memory, {.heads = {.kv_heads = args.kv_heads}, .batch = args.batch});
  const auto heads = static_cast<unsigned>(args.batch * args.kv_heads);
  launch(target_,
         choose_threshold_kernel,
         {.blocks = dim3(args.together ? static_cast<unsigned>(args.batch) : heads),
          .threads = kScoringBlock},
         args,
         thresholds);
  launch(target_,
         keep_chosen_kernel,
         {.blocks = dim3(heads), .threads = kScoringBlock},
         args,
         thresholds);
}

}  // namespace kvg::kernels
