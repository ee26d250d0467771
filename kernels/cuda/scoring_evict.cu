#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_reduce.cuh"
#include "kernels/hash.h"

// One launch a layer and step: a block takes a kv_head, whose scores, positions and cursor nothing
// else touches. Where every query head of the layer counts, each block makes all their softmaxes.

namespace kvg::kernels {
namespace {

constexpr int kWarps = kScoringBlock / kWarp;

// e^x for x <= 0 in double; below -700 it is 0. Half the arithmetic of exp(): 2^(j / 64) comes from
// a table, and the series to x^5 on [-ln 2 / 128, ln 2 / 128] leaves 4e-17.
class Exponentials {
 public:
  static constexpr int kSteps = 64;

  // `table` is shared by the block, which calls this as a whole.
  __device__ explicit Exponentials(double* table) : table_(table) {
    if (threadIdx.x < kSteps) {
      table[threadIdx.x] = exp2(static_cast<double>(threadIdx.x) / kSteps);
    }
    __syncthreads();
  }

  __device__ double operator()(double x) const {
    if (x < -700.0) {
      return 0.0;
    }
    // Adding 1.5 x 2^52 leaves the nearest integer in the low bits.
    constexpr double kShift = 6755399441055744.0;
    const double shifted = fma(x, kSteps * 1.4426950408889634, kShift);
    const int n = __double2loint(shifted);
    const double whole = shifted - kShift;
    double r = fma(whole, -6.93147180369123816490e-01 / kSteps, x);
    r = fma(whole, -1.90821492927058770002e-10 / kSteps, r);
    double p = fma(r, 1.0 / 120.0, 1.0 / 24.0);
    p = fma(r, p, 1.0 / 6.0);
    p = fma(r, p, 0.5);
    p = fma(r * r, p, r);
    const double step = table_[n & (kSteps - 1)];
    const double value = fma(step, p, step);
    return __hiloint2double(__double2hiint(value) + ((n >> 6) << 20), __double2loint(value));
  }

 private:
  const double* table_;
};

// What an entry leaves by, the lowest first.
struct Claim {
  int is_recent;
  double score;
  std::int32_t position;
  std::int32_t slot;
};

__device__ Claim lower(const Claim& a, const Claim& b) {
  if (a.is_recent != b.is_recent) {
    return a.is_recent < b.is_recent ? a : b;
  }
  if (a.score != b.score) {
    return a.score < b.score ? a : b;
  }
  return a.position <= b.position ? a : b;
}

__device__ Claim lowest_of_warp(Claim claim) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const Claim other = {__shfl_down_sync(kAllLanes, claim.is_recent, step),
                         __shfl_down_sync(kAllLanes, claim.score, step),
                         __shfl_down_sync(kAllLanes, claim.position, step),
                         __shfl_down_sync(kAllLanes, claim.slot, step)};
    claim = lower(claim, other);
  }
  return claim;
}

// The softmax of one query head.
struct HeadSoftmax {
  double largest;
  double inverse;  // of the sum
};

// A part of a row, by a warp.
struct RowPart {
  float largest;
  double sum;
};

// The query heads that count for a block.
struct Members {
  const float* rows;
  std::int64_t pitch;
  int count;

  __device__ Members(const EvictArgs& args, std::int64_t batch, int kv_head)
      : pitch(args.capacity) {
    const HeadShape& shape = args.shape;
    const bool all = args.reduce == Reduce::kAll;
    count = all ? shape.heads : shape.heads / shape.kv_heads;
    rows = args.rows + (batch * shape.heads + (all ? 0 : kv_head * count)) * pitch;
  }
};

__device__ RowPart
part_of_row(const Exponentials& exponential, const float* row, int entries, int part, int parts) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float largest = -INFINITY;
  for (int i = part * kWarp + lane; i < entries; i += parts * kWarp) {
    largest = fmaxf(largest, row[i]);
  }
  largest = warp_max(largest);
  double sum = 0.0;
  for (int i = part * kWarp + lane; i < entries; i += parts * kWarp) {
    sum += exponential(static_cast<double>(row[i]) - static_cast<double>(largest));
  }
  return {largest, warp_sum(sum)};
}

// Fills `softmaxes` for every member, by the whole block.
__device__ void make_softmaxes(const Exponentials& exponential,
                               HeadSoftmax* softmaxes,
                               const Members& members,
                               int entries) {
  __shared__ RowPart shared[kWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int parts = max(kWarps / members.count, 1);
  const int at_once = kWarps / parts;
  for (int first = 0; first < members.count; first += at_once) {
    const int member = first + warp / parts;
    const bool present = warp / parts < at_once && member < members.count;
    if (present) {
      const RowPart part = part_of_row(
          exponential, members.rows + member * members.pitch, entries, warp % parts, parts);
      if (threadIdx.x % kWarp == 0) {
        shared[warp] = part;
      }
    }
    __syncthreads();
    if (present && warp % parts == 0 && threadIdx.x % kWarp == 0) {
      float largest = -INFINITY;
      for (int i = 0; i < parts; ++i) {
        largest = fmaxf(largest, shared[warp + i].largest);
      }
      double sum = 0.0;
      for (int i = 0; i < parts; ++i) {
        const RowPart& part = shared[warp + i];
        const double difference = static_cast<double>(part.largest) - static_cast<double>(largest);
        sum += part.largest == -INFINITY ? 0.0 : part.sum * exponential(difference);
      }
      softmaxes[member] = {static_cast<double>(largest), 1.0 / sum};
    }
    __syncthreads();
  }
}

// The newest query's probability of a slot, reduced over the members.
__device__ double probability(const EvictArgs& args,
                              const Exponentials& exponential,
                              const Members& members,
                              const HeadSoftmax* softmaxes,
                              int slot) {
  double figure = 0.0;
  for (int member = 0; member < members.count; ++member) {
    const HeadSoftmax& softmax = softmaxes[member];
    const auto logit = static_cast<double>(members.rows[member * members.pitch + slot]);
    const double next = exponential(logit - softmax.largest) * softmax.inverse;
    figure = args.reduce == Reduce::kMax ? fmax(figure, next) : figure + next;
  }
  const bool mean = args.reduce == Reduce::kMean || args.reduce == Reduce::kAll;
  return mean ? figure / members.count : figure;
}

__device__ bool reads_rows(Update update) {
  return update == Update::kSum || update == Update::kReplace;
}

// The head of a block.
struct Head {
  std::int64_t batch;
  int kv_head;
  HeadCursor cursor;
  std::int32_t newest;  // position
  double* scores;       // [entries]
  std::int32_t* positions;

  __device__ explicit Head(const EvictArgs& args)
      : batch(blockIdx.x / args.shape.kv_heads),
        kv_head(static_cast<int>(blockIdx.x) % args.shape.kv_heads),
        cursor(args.heads[blockIdx.x]),
        newest(args.cursor->position),
        scores(args.scores + batch * args.slots + cursor.start),
        positions(args.positions + batch * args.slots + cursor.start) {}

  // The score of a slot after this step.
  __device__ double updated(const EvictArgs& args,
                            const Exponentials& exponential,
                            const Members& members,
                            const HeadSoftmax* softmaxes,
                            int slot) const {
    const bool is_newest = slot == cursor.slot;
    switch (args.update) {
      case Update::kNone:
        return is_newest ? INFINITY : scores[slot];
      case Update::kRandom:
        return is_newest ? random_score({.seed = args.seed,
                                         .layer = args.layer,
                                         .kv_head = kv_head,
                                         .position = newest})
                         : scores[slot];
      case Update::kSum:
        return (is_newest ? 0.0 : scores[slot]) +
               probability(args, exponential, members, softmaxes, slot);
      case Update::kReplace:
        return probability(args, exponential, members, softmaxes, slot);
      case Update::kGiven:
        break;
    }
    return scores[slot];
  }

  __device__ Claim claim_of(const EvictArgs& args, int slot, double score) const {
    const std::int32_t position = slot == cursor.slot ? newest : positions[slot];
    const std::int32_t recent = args.recent == kHalfOfBudget ? (cursor.limit - 1) / 2 : args.recent;
    return {position > newest - recent ? 1 : 0,
            args.by_age ? score / (newest - position + 1) : score,
            position,
            slot};
  }
};

__global__ void __launch_bounds__(kScoringBlock) evict_kernel(EvictArgs args) {
  extern __shared__ __align__(16) unsigned char raw[];
  __shared__ Claim claims[kWarps];
  __shared__ double table[Exponentials::kSteps];
  auto* softmaxes = reinterpret_cast<HeadSoftmax*>(raw);
  allow_next();
  const Exponentials exponential(table);
  wait_for_inputs();
  const Head head(args);
  const Members members(args, head.batch, head.kv_head);
  const int entries = head.cursor.entries;
  if (reads_rows(args.update)) {
    make_softmaxes(exponential, softmaxes, members, entries);
  }
  constexpr Claim kNone = {3, INFINITY, 0x7fffffff, 0};
  Claim lowest = kNone;
  for (int slot = threadIdx.x; slot < entries; slot += kScoringBlock) {
    const double score = head.updated(args, exponential, members, softmaxes, slot);
    lowest = lower(lowest, head.claim_of(args, slot, score));
    head.scores[slot] = score;
    if (slot == head.cursor.slot) {
      head.positions[slot] = head.newest;
    }
  }
  lowest = lowest_of_warp(lowest);
  if (threadIdx.x % kWarp == 0) {
    claims[threadIdx.x / kWarp] = lowest;
  }
  __syncthreads();
  if (threadIdx.x >= kWarp) {
    return;
  }
  lowest = lowest_of_warp(claims[threadIdx.x]);
  if (threadIdx.x == 0) {
    HeadCursor next = head.cursor;
    if (next.entries < next.limit) {
      next = next_of(next);
    } else {
      next.slot = lowest.slot;
    }
    args.heads[blockIdx.x] = next;
  }
}

}  // namespace

void CudaScoring::evict(const EvictArgs& args) {
  KVG_EXPECT(args.shape.kv_heads > 0 && args.shape.heads % args.shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
  KVG_EXPECT(
      (args.update != Update::kSum && args.update != Update::kReplace) || args.rows != nullptr,
      "the update takes the scores of attention");
  if (args.batch == 0) {
    return;
  }
  launch(target_,
         evict_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.batch * args.shape.kv_heads)),
          .threads = kScoringBlock,
          .shared_bytes = static_cast<std::size_t>(args.shape.heads) * sizeof(HeadSoftmax)},
         args);
}

}  // namespace kvg::kernels
