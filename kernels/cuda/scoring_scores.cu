#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/hash.h"

// Scores that need a look at few figures each: a thread makes one.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

// A thread's entry: blocks are keys x (batch row, kv_head).
struct Entry {
  int key;
  int kv_head;
  std::int64_t batch;
  double* score;

  __device__ explicit Entry(const PromptScores& args)
      : key(static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)),
        kv_head(static_cast<int>(blockIdx.y) % args.shape.kv_heads),
        batch(static_cast<int>(blockIdx.y) / args.shape.kv_heads),
        score(args.out + static_cast<std::int64_t>(blockIdx.y) * args.keys + key) {}
};

// Columns [column - kernel / 2, column + kernel / 2] of one query head.
__device__ double pooled(const PoolArgs& args, const float* row, int column) {
  const int begin = max(column - args.kernel / 2, 0);
  const int end = min(column + args.kernel / 2 + 1, args.columns);
  double sum = 0.0;
  for (int i = begin; i < end; ++i) {
    sum += static_cast<double>(row[i]);
  }
  return sum / args.kernel;
}

__global__ void __launch_bounds__(kThreads) pool_kernel(PoolArgs args) {
  allow_next();
  wait_for_inputs();
  const HeadShape& shape = args.to.shape;
  const Entry entry(args.to);
  if (entry.key >= args.to.keys) {
    return;
  }
  if (entry.key >= args.columns) {
    *entry.score = 0.0;
    return;
  }
  const bool all = args.reduce == Reduce::kAll;
  const int count = all ? shape.heads : shape.heads / shape.kv_heads;
  const int first = all ? 0 : entry.kv_head * count;
  double figure = 0.0;
  for (int head = 0; head < count; ++head) {
    const float* row = args.rows + (entry.batch * shape.heads + first + head) * args.to.keys;
    const double next = pooled(args, row, entry.key);
    if (head == 0) {
      figure = next;
    } else {
      figure = args.reduce == Reduce::kMax ? fmax(figure, next) : figure + next;
    }
  }
  *entry.score = all || args.reduce == Reduce::kMean ? figure / count : figure;
}

// What a score is made of besides its place.
struct ScoreRule {
  enum class Kind { kRandom, kRecency, kByAge, kProtect } kind;
  std::uint64_t seed = 0;
  int layer = 0;
  int first = 0;
  int last = 0;
};

__global__ void __launch_bounds__(kThreads) score_entry_kernel(PromptScores args, ScoreRule rule) {
  allow_next();
  wait_for_inputs();
  const Entry entry(args);
  if (entry.key >= args.keys) {
    return;
  }
  switch (rule.kind) {
    case ScoreRule::Kind::kRandom:
      *entry.score = random_score({.seed = rule.seed,
                                   .layer = rule.layer,
                                   .kv_head = entry.kv_head,
                                   .position = entry.key});
      break;
    case ScoreRule::Kind::kRecency:
      *entry.score = entry.key;
      break;
    case ScoreRule::Kind::kByAge:
      *entry.score /= args.keys - entry.key;
      break;
    case ScoreRule::Kind::kProtect:
      if (entry.key < rule.first || entry.key >= args.keys - rule.last) {
        *entry.score = INFINITY;
      }
      break;
  }
}

struct ChunkArgs {
  PromptScores to;
  int chunk;
  int columns;
};

// A thread takes one chunk.
__global__ void __launch_bounds__(kThreads) chunk_means_kernel(ChunkArgs args) {
  allow_next();
  wait_for_inputs();
  const std::int64_t begin =
      (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * args.chunk;
  if (begin >= args.columns) {
    return;
  }
  const int count =
      static_cast<int>(min(static_cast<std::int64_t>(args.chunk), args.columns - begin));
  double* scores = args.to.out + static_cast<std::int64_t>(blockIdx.y) * args.to.keys + begin;
  double sum = 0.0;
  for (int i = 0; i < count; ++i) {
    sum += scores[i];
  }
  for (int i = 0; i < count; ++i) {
    scores[i] = sum / count;
  }
}

Grid grid_of(const PromptScores& args, std::size_t count) {
  return {.blocks = dim3(ceil_div(count, kThreads),
                         static_cast<unsigned>(args.batch * args.shape.kv_heads)),
          .threads = kThreads};
}

bool is_empty(const PromptScores& args) {
  return args.keys == 0 || args.batch == 0;
}

void score_entries(const Target& target, const PromptScores& args, const ScoreRule& rule) {
  if (!is_empty(args)) {
    launch(
        target, score_entry_kernel, grid_of(args, static_cast<std::size_t>(args.keys)), args, rule);
  }
}

}  // namespace

void CudaScoring::pool(const PoolArgs& args) {
  KVG_EXPECT(args.kernel % 2 == 1 && args.columns <= args.to.keys, "an odd kernel within the keys");
  if (!is_empty(args.to)) {
    launch(target_, pool_kernel, grid_of(args.to, static_cast<std::size_t>(args.to.keys)), args);
  }
}

void CudaScoring::random(const PromptScores& args, std::uint64_t seed, int layer) {
  score_entries(target_, args, {.kind = ScoreRule::Kind::kRandom, .seed = seed, .layer = layer});
}

void CudaScoring::recency(const PromptScores& args) {
  score_entries(target_, args, {.kind = ScoreRule::Kind::kRecency});
}

void CudaScoring::by_age(const PromptScores& args) {
  score_entries(target_, args, {.kind = ScoreRule::Kind::kByAge});
}

void CudaScoring::protect(const PromptScores& args, int first, int last) {
  score_entries(target_, args, {.kind = ScoreRule::Kind::kProtect, .first = first, .last = last});
}

void CudaScoring::chunk_means(const PromptScores& args, int chunk, int columns) {
  KVG_EXPECT(chunk > 0 && columns <= args.keys, "chunks within the keys");
  if (is_empty(args) || columns <= 0) {
    return;
  }
  launch(
      target_,
      chunk_means_kernel,
      grid_of(args, ceil_div(static_cast<std::size_t>(columns), static_cast<std::size_t>(chunk))),
      ChunkArgs{.to = args, .chunk = chunk, .columns = columns});
}

}  // namespace kvg::kernels
