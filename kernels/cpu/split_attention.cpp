#include "kernels/cpu/split_attention.h"

#include <cmath>

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/matvec.h"
#include "kernels/cpu/vector.h"

// Bound by reading the cache: every key and value is read once for the whole group. Scores are a
// matrix-vector product with the keys as the matrix; values are summed in storage order.

namespace kvg::kernels::cpu {
namespace {

// Columns [column, column + kColumns * kLanes) of kQueries queries' weighted sums of values.
template <std::size_t kQueries, std::size_t kColumns>
KVG_INLINE void weigh(const SplitArgs& args,
                      std::size_t first_query,
                      std::size_t column,
                      std::size_t width) {
  const float* values = args.values + column;
  const float* weights = args.scores + first_query * kSplitEntries;
  Floats sums[kQueries][kColumns] = {};
  for (std::size_t s = 0; s < args.count; ++s) {
    Floats value[kColumns];
    for (std::size_t c = 0; c < kColumns; ++c) {
      value[c] = load_lanes<Floats>(values + s * args.head_dim + c * kLanes, width);
    }
    for (std::size_t q = 0; q < kQueries; ++q) {
      const float weight = weights[q * kSplitEntries + s];
      for (std::size_t c = 0; c < kColumns; ++c) {
        sums[q][c] += value[c] * weight;
      }
    }
  }
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t c = 0; c < kColumns; ++c) {
      float* out = args.out + (first_query + q) * args.head_dim + column + c * kLanes;
      store_lanes(out, sums[q][c], width);
    }
  }
}

template <std::size_t kQueries>
KVG_INLINE void weigh_all(const SplitArgs& args, std::size_t first_query) {
  std::size_t column = 0;
  for (; column + 4 * kLanes <= args.head_dim; column += 4 * kLanes) {
    weigh<kQueries, 4>(args, first_query, column, kLanes);
  }
  for (; column + kLanes <= args.head_dim; column += kLanes) {
    weigh<kQueries, 1>(args, first_query, column, kLanes);
  }
  if (column < args.head_dim) {
    weigh<kQueries, 1>(args, first_query, column, args.head_dim - column);
  }
}

KVG_CLONES void weigh_values(const SplitArgs& args) {
  std::size_t q = 0;
  for (; q + 4 <= args.group; q += 4) {
    weigh_all<4>(args, q);
  }
  for (; q + 2 <= args.group; q += 2) {
    weigh_all<2>(args, q);
  }
  if (q < args.group) {
    weigh_all<1>(args, q);
  }
}

// scores[q, i] = query q . key i, for keys [begin, end).
void score_keys(const SplitArgs& args, const float* query, std::size_t begin, std::size_t end) {
  if (begin >= end) {
    return;
  }
  for (std::size_t q = 0; q < args.group; q += kMatvecVectors) {
    const std::size_t left = args.group - q;
    matvec({.out = args.scores + q * kSplitEntries + begin,
            .out_stride = kSplitEntries,
            .matrix = args.keys + begin * args.head_dim,
            .dtype = DType::kF32,
            .rows = static_cast<int>(end - begin),
            .in = args.head_dim,
            .vectors = query + q * args.head_dim,
            .vector_count = left < kMatvecVectors ? static_cast<int>(left) : kMatvecVectors});
  }
}

}  // namespace

void score_split(const SplitArgs& args) {
  const std::size_t capped = args.sinks < args.count ? args.sinks : args.count;
  const std::size_t sinks = args.sink_query == nullptr ? 0 : capped;
  score_keys(args, args.sink_query, 0, sinks);
  score_keys(args, args.query, sinks, args.count);
}

void weigh_split(const SplitArgs& args) {
  for (std::size_t q = 0; q < args.group; ++q) {
    const SoftmaxPart part = exponentiate(args.scores + q * kSplitEntries, args.scale, args.count);
    args.max[q] = part.max;
    args.sum[q] = part.sum;
  }
  weigh_values(args);
}

KVG_CLONES void merge_splits(const MergeArgs& args) {
  float max = args.maxima[0];
  for (std::size_t split = 1; split < args.splits; ++split) {
    const float other = args.maxima[split * args.stat_stride];
    max = other > max ? other : max;
  }
  float sum = 0.0F;
  for (std::size_t split = 0; split < args.splits; ++split) {
    sum +=
        args.sums[split * args.stat_stride] * std::exp(args.maxima[split * args.stat_stride] - max);
  }
  for (std::size_t split = 0; split < args.splits; ++split) {
    const float weight = std::exp(args.maxima[split * args.stat_stride] - max) / sum;
    const float* part = args.parts + split * args.part_stride;
    for (std::size_t i = 0; i < args.head_dim; ++i) {
      args.out[i] = (split == 0 ? 0.0F : args.out[i]) + part[i] * weight;
    }
  }
}

}  // namespace kvg::kernels::cpu
