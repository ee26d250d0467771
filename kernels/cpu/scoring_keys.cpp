#include <algorithm>
#include <cblas.h>
#include <cmath>
#include <limits>

#include "kernels/cpu/matvec.h"
#include "kernels/cpu/scoring.h"
#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_rows.h"
#include "kernels/cpu/scoring_scratch.h"

namespace kvg::kernels::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Norms that are divided by are at least this, as in torch's normalize().
constexpr double kLeastNorm = 1e-12;

void likeness_of_head(const PromptScores& args, int index, double* anchor) {
  const KvHead head = kv_head_at(args.shape, index);
  const std::size_t dim = size(args.shape.head_dim);
  const float* const keys = entries_of(args.kv.keys, args.kv, head.row, head.kv_head);
  double* const out = scores_of(args, index);
  std::fill(anchor, anchor + dim, 0.0);
  for (int key = 0; key < args.keys; ++key) {
    const float* const k = keys + size(key) * dim;
    // Until its likeness takes the place.
    out[key] = std::max(norm_of(k, dim), kLeastNorm);
    add_scaled(anchor, k, 1.0 / out[key], dim);
  }
  double square = 0.0;
  for (std::size_t c = 0; c < dim; ++c) {
    anchor[c] /= args.keys;
    square += anchor[c] * anchor[c];
  }
  const double norm = std::max(std::sqrt(square), kLeastNorm);
  for (int key = 0; key < args.keys; ++key) {
    out[key] = -dot(anchor, keys + size(key) * dim, dim) / (norm * out[key]);
  }
}

// What is expected of one query head: mu and S, turned by the mean rotation of what is to come.
class Expectation {
 public:
  Expectation(const ExpectedArgs& args, Pieces shared)
      : args_(args),
        dim_(size(args.to.shape.head_dim)),
        covariance_(shared.take<double>(dim_ * dim_)),
        mean_(shared.take<double>(dim_)),
        rotation_(shared.take<double>(dim_)),
        logits_(shared.take<double>(size(args.to.keys))) {
    std::fill(rotation_, rotation_ + args.turn.rotary_dim, 0.0);
    for (int ahead = 0; ahead < args.future; ++ahead) {
      const float* at = args.turn.table +
                        static_cast<std::ptrdiff_t>(args.to.keys + ahead) * args.turn.rotary_dim;
      add_scaled(rotation_, at, 1.0 / args.future, size(args.turn.rotary_dim));
    }
  }

  // Sets mu and S to those of a query head of a batch row.
  void take(int row, int head) const {
    const HeadShape& shape = args_.to.shape;
    const auto width = static_cast<std::int64_t>(dim_);
    const double* const sums = row_of(args_.sums, shape, row, head, width);
    const double* const products = row_of(args_.products, shape, row, head, width * width);
    const double count = args_.to.keys - args_.skip;
    for (std::size_t c = 0; c < dim_; ++c) {
      mean_[c] = sums[c] / count;
    }
    for (std::size_t i = 0; i < dim_; ++i) {
      for (std::size_t j = 0; j < dim_; ++j) {
        covariance_[i * dim_ + j] = products[i * dim_ + j] / count - mean_[i] * mean_[j];
      }
    }
    turn(mean_, 1);
    for (std::size_t i = 0; i < dim_; ++i) {
      turn(covariance_ + i * dim_, 1);
    }
    for (std::size_t j = 0; j < dim_; ++j) {
      turn(covariance_ + j, dim_);
    }
  }

  // k mu / sqrt(d) + k S k / (2 d) of keys [first, first + count), given the first of them.
  void score(const float* keys, int first, int count, Pieces pieces) const {
    auto* const wide = pieces.take<double>(size(kScoreRows) * dim_);
    auto* const turned = pieces.take<double>(size(kScoreRows) * dim_);
    const int width = args_.to.shape.head_dim;
    std::copy(keys, keys + size(count) * dim_, wide);
    cblas_dgemm(CblasRowMajor,
                CblasNoTrans,
                CblasNoTrans,
                count,
                width,
                width,
                1.0,
                wide,
                width,
                covariance_,
                width,
                0.0,
                turned,
                width);
    for (int i = 0; i < count; ++i) {
      const float* const key = keys + size(i) * dim_;
      logits_[first + i] = dot(mean_, key, dim_) / std::sqrt(static_cast<double>(width)) +
                           dot(turned + size(i) * dim_, key, dim_) / (2.0 * width);
    }
  }

  // Adds the softmax of the logits from `skip` on.
  void add_to(double* out) const {
    const std::size_t count = size(args_.to.keys - args_.skip);
    softmax(logits_ + args_.skip, logits_ + args_.skip, count);
    add_scaled(out + args_.skip, logits_ + args_.skip, 1.0, count);
  }

 private:
  void turn(double* x, std::size_t stride) const {
    const std::size_t half = size(args_.turn.rotary_dim / 2);
    for (std::size_t i = 0; i < half; ++i) {
      const double a = x[i * stride];
      const double b = x[(i + half) * stride];
      x[i * stride] = a * rotation_[2 * i] - b * rotation_[2 * i + 1];
      x[(i + half) * stride] = b * rotation_[2 * i] + a * rotation_[2 * i + 1];
    }
  }

  const ExpectedArgs& args_;
  std::size_t dim_;
  double* covariance_;  ///< [head_dim, head_dim]
  double* mean_;        ///< [head_dim]
  double* rotation_;    ///< [rotary_dim / 2, 2]
  double* logits_;      ///< [keys]
};

// out = softmax over a partition of the spread of its entries, seen from the next partition.
// `entries` is the first of the partition.
void spreads(double* out, const float* entries, int lag, std::size_t dim, Pieces pieces) {
  auto* const least = pieces.take<float>(dim);
  auto* const most = pieces.take<float>(dim);
  const float* const next = entries + size(lag) * dim;
  std::copy(next, next + dim, least);
  std::copy(next, next + dim, most);
  for (std::size_t at = dim; at < size(lag) * dim; ++at) {
    least[at % dim] = std::min(least[at % dim], next[at]);
    most[at % dim] = std::max(most[at % dim], next[at]);
  }
  for (int i = 0; i < lag; ++i) {
    const float* const x = entries + size(i) * dim;
    const auto figure = [&](std::size_t c) {
      const double range = static_cast<double>(most[c]) - static_cast<double>(least[c]);
      const double above = static_cast<double>(x[c]) - static_cast<double>(least[c]);
      return range > 0.0 ? above / range : 0.0;
    };
    double sum = 0.0;
    for (std::size_t c = 0; c < dim; ++c) {
      sum += figure(c);
    }
    const double mean = sum / static_cast<double>(dim);
    double squares = 0.0;
    for (std::size_t c = 0; c < dim; ++c) {
      squares += (figure(c) - mean) * (figure(c) - mean);
    }
    out[i] = std::sqrt(squares / static_cast<double>(std::max<std::size_t>(dim - 1, 1)));
  }
  softmax(out, out, size(lag));
}

// The entries of one partition that has a next one; `first` is their first position.
void rank_partition(const LagArgs& args, int index, int first, Pieces pieces) {
  const KvView& kv = args.to.kv;
  const KvHead head = kv_head_at(args.to.shape, index);
  const std::size_t dim = size(args.to.shape.head_dim);
  auto* const figures = pieces.take<double>(size(args.lag));
  auto* const of_values = pieces.take<double>(size(args.lag));
  const std::size_t at = size(first) * dim;
  spreads(figures, entries_of(kv.keys, kv, head.row, head.kv_head) + at, args.lag, dim, pieces);
  spreads(of_values, entries_of(kv.values, kv, head.row, head.kv_head) + at, args.lag, dim, pieces);
  add_scaled(figures, of_values, 1.0, size(args.lag));
  double* const out = scores_of(args.to, index) + first;
  for (int i = 0; i < args.lag; ++i) {
    int below = 0;
    for (int j = 0; j < args.lag; ++j) {
      below += figures[j] < figures[i] || (figures[j] == figures[i] && j < i) ? 1 : 0;
    }
    out[i] = static_cast<double>(below) / args.lag;
  }
}

// Entries [first, first + count) of one kv_head.
void scale_by_outputs(const OutputNormArgs& args, int index, int first, int count, Pieces pieces) {
  const HeadShape& shape = args.to.shape;
  const KvHead head = kv_head_at(shape, index);
  const std::size_t dim = size(shape.head_dim);
  auto* const panel = pieces.take<float>(size(kTileFeatures) * dim);
  auto* const products = pieces.take<float>(size(kScoreRows) * size(kTileFeatures));
  const float* const values =
      entries_of(args.to.kv.values, args.to.kv, head.row, head.kv_head) + size(first) * dim;
  double norms[kScoreRows] = {};
  for (int member = 0; member < group_of(shape); ++member) {
    const int column = (head.kv_head * group_of(shape) + member) * shape.head_dim;
    for (int feature = 0; feature < args.hidden; feature += kTileFeatures) {
      const int features = std::min(kTileFeatures, args.hidden - feature);
      for (int i = 0; i < features; ++i) {
        const std::size_t at = size(feature + i) * size(shape.heads) * dim + size(column);
        widen(panel + size(i) * dim,
              static_cast<const std::byte*>(args.weight) + at * size_of(args.dtype),
              args.dtype,
              dim);
      }
      cblas_sgemm(CblasRowMajor,
                  CblasNoTrans,
                  CblasTrans,
                  count,
                  features,
                  shape.head_dim,
                  1.0F,
                  values,
                  shape.head_dim,
                  panel,
                  shape.head_dim,
                  0.0F,
                  products,
                  features);
      for (int i = 0; i < count; ++i) {
        norms[i] += absolute_sum(products + size(i) * size(features), size(features));
      }
    }
  }
  double* const out = scores_of(args.to, index) + first;
  for (int i = 0; i < count; ++i) {
    // 0 x infinity would be NaN.
    out[i] =
        out[i] == kInfinity ? kInfinity : (out[i] + args.epsilon) * (norms[i] / group_of(shape));
  }
}

}  // namespace

void CpuScoring::key_likeness(const PromptScores& args) {
  check(args.kv);
  const Tiles tiles(scratch_, entry_tile_floats(size(args.shape.head_dim)));
  team_.run(kv_heads_of(args), [&](int index, int thread) {
    likeness_of_head(args, index, tiles.of(thread).take<double>(size(args.shape.head_dim)));
  });
}

void CpuScoring::expected(const ExpectedArgs& args) {
  const PromptScores& to = args.to;
  check(to.shape);
  check(to.kv);
  const std::size_t dim = size(to.shape.head_dim);
  const int skip = std::min(args.skip, to.keys);
  const int group = group_of(to.shape);
  const int blocks = (to.keys - skip + kScoreRows - 1) / kScoreRows;
  const Tiles tiles(scratch_, entry_tile_floats(dim));
  const Expectation expectation(
      args, Pieces(scratch_.figures(expected_shared_floats(dim, size(to.keys)))));
  for (int index = 0; index < kv_heads_of(to); ++index) {
    const KvHead head = kv_head_at(to.shape, index);
    const float* const keys = entries_of(to.kv.keys, to.kv, head.row, head.kv_head);
    const float* const values = entries_of(to.kv.values, to.kv, head.row, head.kv_head);
    double* const out = scores_of(to, index);
    std::fill(out, out + skip, kInfinity);
    std::fill(out + skip, out + to.keys, 0.0);
    for (int member = 0; member < group && blocks > 0; ++member) {
      expectation.take(head.row, head.kv_head * group + member);
      team_.run(blocks, [&](int block, int thread) {
        const int first = skip + block * kScoreRows;
        expectation.score(keys + size(first) * dim,
                          first,
                          std::min(kScoreRows, to.keys - first),
                          tiles.of(thread));
      });
      expectation.add_to(out);
    }
    for (int key = skip; key < to.keys; ++key) {
      out[key] = out[key] / group * norm_of(values + size(key) * dim, dim);
    }
  }
}

void CpuScoring::lag(const LagArgs& args) {
  const PromptScores& to = args.to;
  check(to.kv);
  KVG_EXPECT(args.lag > 0, "a partition has entries");
  const bool is_short = to.keys < args.sinks + 2 * args.lag;
  const int ranked = is_short ? 0 : (to.keys - args.sinks) / args.lag - 1;
  for (int index = 0; index < kv_heads_of(to); ++index) {
    double* const out = scores_of(to, index);
    for (int key = 0; key < to.keys; ++key) {
      out[key] = key < args.sinks ? kInfinity : key;
    }
  }
  const std::size_t longest = size(std::min(args.lag, to.keys));
  const Tiles tiles(scratch_, lag_tile_floats(size(to.shape.head_dim), longest));
  team_.run(kv_heads_of(to) * ranked, [&](int task, int thread) {
    const int first = args.sinks + task % ranked * args.lag;
    rank_partition(args, task / ranked, first, tiles.of(thread));
  });
}

void CpuScoring::output_norms(const OutputNormArgs& args) {
  const PromptScores& to = args.to;
  check(to.shape);
  check(to.kv);
  const Tiles tiles(scratch_, output_tile_floats(size(to.shape.head_dim)));
  const int blocks = (to.keys + kScoreRows - 1) / kScoreRows;
  team_.run(kv_heads_of(to) * blocks, [&](int task, int thread) {
    const int first = task % blocks * kScoreRows;
    const int count = std::min(kScoreRows, to.keys - first);
    scale_by_outputs(args, task / blocks, first, count, tiles.of(thread));
  });
}

}  // namespace kvg::kernels::cpu
