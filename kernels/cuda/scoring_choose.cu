#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_select.cuh"

// A block finds the threshold of a row's largest figures digit by digit, and takes what reaches it.

namespace kvg::kernels {
namespace {

// Block: a row.
__global__ void __launch_bounds__(kScoringBlock) raise_kernel(RaiseArgs args) {
  allow_next();
  wait_for_inputs();
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * args.width;
  const double* by = args.by + at;
  double* in = args.in + at;
  const auto key = [&](int i) { return rank_of(by[i]); };
  const auto tie = [](int i) { return static_cast<std::uint64_t>(i); };
  const Threshold threshold = select_largest(args.width, args.count, key, tie);
  for (int i = threadIdx.x; i < args.width; i += kScoringBlock) {
    if (reaches(threshold, key(i), tie(i))) {
      in[i] = INFINITY;
    }
  }
}

// The scores of one row of a choice as they are compared: of one kv_head, or of all of a batch row
// one behind the other.
struct Row {
  const ChooseArgs& args;
  const double* scores;
  int kv_heads;

  // Of one head the index itself: a remainder costs more than the rest of a look.
  __device__ int position_of(int i) const { return kv_heads == 1 ? i : i % args.keys; }
  __device__ std::uint64_t key(int i) const {
    const int position = position_of(i);
    if (position >= args.keys - args.recent) {
      return rank_of(INFINITY);
    }
    return rank_of(args.by_age ? scores[i] / (args.keys - position) : scores[i]);
  }
  // The newer are larger, at one position the lower kv_head.
  __device__ std::uint64_t tie(int i) const {
    const int position = position_of(i);
    const int kv_head = kv_heads == 1 ? 0 : i / args.keys;
    return static_cast<std::uint64_t>(position) * static_cast<unsigned>(kv_heads) +
           static_cast<unsigned>(kv_heads - 1 - kv_head);
  }
};

// Takes down what head `index` keeps, whose scores begin at `first` of the row.
__device__ int keep_of_head(
    const Row& row, const Threshold& threshold, int first, int index, std::int32_t start) {
  const ChooseArgs& args = row.args;
  std::int32_t* kept = args.kept + index * args.kept_stride;
  const std::int64_t slot_at = index / args.kv_heads * args.slots + start;
  return keep_in_order(
      args.keys,
      [&](int key) { return reaches(threshold, row.key(first + key), row.tie(first + key)); },
      [&](int key, int entry) {
        kept[entry] = key;
        if (args.slot_scores != nullptr) {
          args.slot_scores[slot_at + entry] = row.scores[first + key];
          args.slot_positions[slot_at + entry] = key;
        }
      });
}

// Block: a kv_head of a batch row; together, a batch row, whose heads are laid out one behind the
// other.
__global__ void __launch_bounds__(kScoringBlock) choose_kernel(ChooseArgs args) {
  allow_next();
  wait_for_inputs();
  const int heads = args.together ? args.kv_heads : 1;
  const int first_head = static_cast<int>(blockIdx.x) * heads;
  const int width = heads * args.keys;
  const Row row = {args, args.scores + static_cast<std::int64_t>(blockIdx.x) * width, heads};
  const int of_head = args.counts == nullptr ? args.count : args.counts[blockIdx.x % args.kv_heads];
  const int count = args.together ? args.count * heads : of_head;
  const Threshold threshold = select_largest(
      width, count, [&](int i) { return row.key(i); }, [&](int i) { return row.tie(i); });
  std::int32_t start = 0;
  for (int member = 0; member < heads; ++member) {
    HeadCursor& head = args.heads[first_head + member];
    const std::int32_t at = args.together ? start : head.start;
    const int kept = keep_of_head(row, threshold, member * args.keys, first_head + member, at);
    if (threadIdx.x == 0) {
      head.entries = kept;
      head.slot = kept - 1;
      if (args.together) {
        head.start = start;
        head.limit = kept + args.slack;
      }
    }
    start += (kept + args.slack + args.align - 1) / args.align * args.align;
    __syncthreads();
  }
}

}  // namespace

void CudaScoring::raise(const RaiseArgs& args) {
  if (args.rows > 0 && args.width > 0 && args.count > 0) {
    launch(target_,
           raise_kernel,
           {.blocks = dim3(static_cast<unsigned>(args.rows)), .threads = kScoringBlock},
           args);
  }
}

void CudaScoring::choose(const ChooseArgs& args) {
  KVG_EXPECT(!args.together || (args.counts == nullptr && args.count > 0 && args.align > 0),
             "heads that choose together share one count");
  const int rows = args.batch * (args.together ? 1 : args.kv_heads);
  if (rows > 0) {
    launch(target_,
           choose_kernel,
           {.blocks = dim3(static_cast<unsigned>(rows)), .threads = kScoringBlock},
           args);
  }
}

}  // namespace kvg::kernels
