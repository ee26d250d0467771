#include "kernels/cpu/scoring.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_rows.h"
#include "kernels/hash.h"

namespace kvg::kernels::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Columns [column - kernel / 2, column + kernel / 2] of one query head.
double pooled(const PoolArgs& args, const float* row, int column) {
  const int begin = std::max(column - args.kernel / 2, 0);
  const int end = std::min(column + args.kernel / 2 + 1, args.columns);
  double sum = 0.0;
  for (int i = begin; i < end; ++i) {
    sum += static_cast<double>(row[i]);
  }
  return sum / args.kernel;
}

// The query heads that make up a kv_head's figure.
struct Members {
  int first = 0;
  int count = 0;
};

Members members_of(const HeadShape& shape, Reduce reduce, int kv_head) {
  const int group = group_of(shape);
  return reduce == Reduce::kAll ? Members{.first = 0, .count = shape.heads}
                                : Members{.first = kv_head * group, .count = group};
}

}  // namespace

void CpuScoring::clear(void* data, std::size_t bytes) {
  if (bytes != 0) {
    std::memset(data, 0, bytes);
  }
}

void CpuScoring::pool(const PoolArgs& args) {
  const PromptScores& to = args.to;
  check(to.shape);
  KVG_EXPECT(args.kernel % 2 == 1 && args.columns <= to.keys, "an odd kernel within the keys");
  team_.run(kv_heads_of(to), [&](int index, int) {
    const KvHead head = kv_head_at(to.shape, index);
    const Members members = members_of(to.shape, args.reduce, head.kv_head);
    const float* rows = row_of(args.rows, to.shape, head.row, members.first, to.keys);
    double* out = scores_of(to, index);
    std::fill(out + args.columns, out + to.keys, 0.0);
    for (int column = 0; column < args.columns; ++column) {
      double figure = pooled(args, rows, column);
      for (int member = 1; member < members.count; ++member) {
        const double next =
            pooled(args, rows + static_cast<std::ptrdiff_t>(member) * to.keys, column);
        figure = args.reduce == Reduce::kMax ? larger(figure, next) : figure + next;
      }
      const bool mean = args.reduce == Reduce::kMean || args.reduce == Reduce::kAll;
      out[column] = mean ? figure / members.count : figure;
    }
  });
}

void CpuScoring::key_norms(const PromptScores& args) {
  check(args.kv);
  team_.run(kv_heads_of(args), [&](int index, int) {
    const KvHead head = kv_head_at(args.shape, index);
    const float* keys = entries_of(args.kv.keys, args.kv, head.row, head.kv_head);
    const std::size_t dim = size(args.shape.head_dim);
    double* out = scores_of(args, index);
    for (int key = 0; key < args.keys; ++key) {
      out[key] = -norm_of(keys + size(key) * dim, dim);
    }
  });
}

void CpuScoring::random(const PromptScores& args, std::uint64_t seed, int layer) {
  team_.run(kv_heads_of(args), [&](int index, int) {
    double* out = scores_of(args, index);
    for (int key = 0; key < args.keys; ++key) {
      out[key] = random_score(
          {.seed = seed, .layer = layer, .kv_head = index % args.shape.kv_heads, .position = key});
    }
  });
}

void CpuScoring::recency(const PromptScores& args) {
  for (int index = 0; index < kv_heads_of(args); ++index) {
    double* out = scores_of(args, index);
    for (int key = 0; key < args.keys; ++key) {
      out[key] = key;
    }
  }
}

void CpuScoring::by_age(const PromptScores& args) {
  for (int index = 0; index < kv_heads_of(args); ++index) {
    double* out = scores_of(args, index);
    for (int key = 0; key < args.keys; ++key) {
      out[key] /= args.keys - key;
    }
  }
}

void CpuScoring::chunk_means(const PromptScores& args, int chunk, int columns) {
  KVG_EXPECT(chunk > 0 && columns <= args.keys, "chunks within the keys");
  for (int index = 0; index < kv_heads_of(args); ++index) {
    double* out = scores_of(args, index);
    for (int begin = 0; begin < columns; begin += chunk) {
      const int end = std::min(begin + chunk, columns);
      double sum = 0.0;
      for (int key = begin; key < end; ++key) {
        sum += out[key];
      }
      std::fill(out + begin, out + end, sum / (end - begin));
    }
  }
}

void CpuScoring::protect(const PromptScores& args, int first, int last) {
  for (int index = 0; index < kv_heads_of(args); ++index) {
    double* out = scores_of(args, index);
    std::fill(out, out + std::min(first, args.keys), kInfinity);
    std::fill(out + std::max(args.keys - last, 0), out + args.keys, kInfinity);
  }
}

}  // namespace kvg::kernels::cpu
