#include <algorithm>
#include <cblas.h>
#include <cstring>
#include <limits>

#include "kernels/cpu/scoring.h"
#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_rows.h"
#include "kernels/cpu/scoring_scratch.h"

namespace kvg::kernels::cpu {
namespace {

// Queries of one head, `token_stride` apart, against the first `keys` keys of its kv_head.
struct Dots {
  const float* query = nullptr;
  int token_stride = 0;
  int queries = 0;
  const float* key = nullptr;
  int keys = 0;
  int head_dim = 0;

  // out: [queries, keys], without scale.
  void multiply(float* out) const {
    cblas_sgemm(CblasRowMajor,
                CblasNoTrans,
                CblasTrans,
                queries,
                keys,
                head_dim,
                1.0F,
                query,
                token_stride,
                key,
                head_dim,
                0.0F,
                out,
                keys);
  }
};

// Queries [first, first + count) of a chunk.
struct QueryTile {
  int first = 0;
  int count = 0;
};

// Queries whose rows for a whole group fill a thread's tile.
int queries_of_tile(int group) {
  return std::max(1, kScoreRows / group);
}

// The column sums of one kv_head.
class ColumnSums {
 public:
  ColumnSums(const ColumnSumsArgs& args, KvHead head) : args_(args), head_(head) {}

  // Adds a tile's to `sums`: [past + tokens].
  void add(const QueryTile& tile, Pieces pieces, double* sums) const {
    const QueryChunk& chunk = args_.chunk;
    const int group = group_of(chunk.shape);
    const int keys = chunk.past + tile.first + tile.count;
    auto* const scores = pieces.take<float>(size(group * tile.count) * size(keys));
    auto* const row = pieces.take<double>(size(keys));
    auto* const best = pieces.take<double>(size(keys));
    for (int member = 0; member < group; ++member) {
      dots(tile, member, keys).multiply(scores + size(member * tile.count) * size(keys));
    }
    for (int i = 0; i < tile.count; ++i) {
      const std::size_t seen = size(chunk.past + tile.first + i) + 1;
      const float* const first = scores + size(i) * size(keys);
      const std::size_t stride = size(tile.count) * size(keys);
      if (args_.reduce == Reduce::kMax) {
        add_largest({first, stride, seen}, row, best, sums);
      } else {
        add_all({first, stride, seen}, row, sums);
      }
    }
  }

 private:
  // The rows that one query of every member of the group sees.
  struct Rows {
    const float* first = nullptr;
    std::size_t stride = 0;
    std::size_t seen = 0;
  };

  [[nodiscard]] Dots dots(const QueryTile& tile, int member, int keys) const {
    const QueryChunk& chunk = args_.chunk;
    const HeadShape& shape = chunk.shape;
    const int token_stride = shape.heads * shape.head_dim;
    const int head = head_.kv_head * group_of(shape) + member;
    const std::ptrdiff_t token = static_cast<std::ptrdiff_t>(head_.row) * chunk.tokens + tile.first;
    return {.query = static_cast<const float*>(chunk.query) + token * token_stride +
                     head * shape.head_dim,
            .token_stride = token_stride,
            .queries = tile.count,
            .key = entries_of(args_.kv.keys, args_.kv, head_.row, head_.kv_head),
            .keys = keys,
            .head_dim = shape.head_dim};
  }

  void add_all(const Rows& rows, double* row, double* sums) const {
    const auto scale = static_cast<double>(args_.scale);
    const int group = group_of(args_.chunk.shape);
    const double share = args_.reduce == Reduce::kMean ? 1.0 / group : 1.0;
    for (int member = 0; member < group; ++member) {
      const float* in = rows.first + size(member) * rows.stride;
      const double sum = exponentials(row, in, scale, largest_of(in, rows.seen), rows.seen);
      add_scaled(sums, row, share / sum, rows.seen);
    }
  }

  void add_largest(const Rows& rows, double* row, double* best, double* sums) const {
    const auto scale = static_cast<double>(args_.scale);
    softmax(best, rows.first, scale, rows.seen);
    for (int member = 1; member < group_of(args_.chunk.shape); ++member) {
      softmax(row, rows.first + size(member) * rows.stride, scale, rows.seen);
      raise_to(best, row, rows.seen);
    }
    add_scaled(sums, best, 1.0, rows.seen);
  }

  const ColumnSumsArgs& args_;
  KvHead head_;
};

// out = the head as it was before RoPE at `position`.
void turn_back(double* out, const float* head, const Turn& turn, int head_dim, int position) {
  const int half = turn.rotary_dim / 2;
  const float* at = turn.table + static_cast<std::ptrdiff_t>(position) * turn.rotary_dim;
  for (int i = 0; i < half; ++i) {
    const auto cosine = static_cast<double>(at[2 * i]);
    const auto sine = static_cast<double>(at[2 * i + 1]);
    const auto a = static_cast<double>(head[i]);
    const auto b = static_cast<double>(head[i + half]);
    out[i] = a * cosine + b * sine;
    out[i + half] = b * cosine - a * sine;
  }
  for (int i = turn.rotary_dim; i < head_dim; ++i) {
    out[i] = static_cast<double>(head[i]);
  }
}

// Adds one query head's moments over the tokens [first, chunk.tokens).
void add_moments(const MomentsArgs& args, int row, int head, int first, double* tile) {
  const QueryChunk& chunk = args.chunk;
  const int dim = chunk.shape.head_dim;
  double* sums = row_of(args.sums, chunk.shape, chunk.first_row + row, head, dim);
  double* products = row_of(args.products,
                            chunk.shape,
                            chunk.first_row + row,
                            head,
                            static_cast<std::int64_t>(dim) * dim);
  const auto* const query = static_cast<const float*>(chunk.query);
  for (; first < chunk.tokens; first += kScoreRows) {
    const int count = std::min(kScoreRows, chunk.tokens - first);
    for (int i = 0; i < count; ++i) {
      double* out = tile + static_cast<std::ptrdiff_t>(i) * dim;
      const int token = row * chunk.tokens + first + i;
      turn_back(out,
                row_of(query, chunk.shape, token, head, dim),
                args.turn,
                dim,
                chunk.past + first + i);
      for (int c = 0; c < dim; ++c) {
        sums[c] += out[c];
      }
    }
    cblas_dgemm(CblasRowMajor,
                CblasTrans,
                CblasNoTrans,
                dim,
                dim,
                count,
                1.0,
                tile,
                dim,
                tile,
                dim,
                1.0,
                products,
                dim);
  }
}

// The queries of a window that there are, in tiles.
class Window {
 public:
  Window(const WindowRowsArgs& args, int row) : args_(args), row_(row) {}

  [[nodiscard]] int first() const { return std::max(args_.window - args_.keys, 0); }
  [[nodiscard]] int position(int query) const { return args_.keys - args_.window + query; }

  [[nodiscard]] Dots dots(const QueryTile& tile, int head) const {
    const HeadShape& shape = args_.shape;
    const auto* const query = static_cast<const float*>(args_.query);
    return {.query = row_of(query, shape, row_ * args_.window + tile.first, head, shape.head_dim),
            .token_stride = shape.heads * shape.head_dim,
            .queries = tile.count,
            .key = entries_of(args_.kv.keys, args_.kv, row_, head / group_of(shape)),
            .keys = position(tile.first + tile.count - 1) + 1,
            .head_dim = shape.head_dim};
  }

 private:
  const WindowRowsArgs& args_;
  int row_;
};

void window_probabilities(const WindowRowsArgs& args, int row, int head, Pieces pieces) {
  const Window window(args, row);
  auto* const scores = pieces.take<float>(size(kScoreRows) * size(args.keys));
  auto* const sums = pieces.take<double>(size(args.keys));
  auto* const seen_row = pieces.take<double>(size(args.keys));
  std::fill(sums, sums + args.keys, 0.0);
  for (int first = window.first(); first < args.window; first += kScoreRows) {
    const QueryTile tile = {.first = first, .count = std::min(kScoreRows, args.window - first)};
    const Dots dots = window.dots(tile, head);
    dots.multiply(scores);
    for (int i = 0; i < tile.count; ++i) {
      const std::size_t seen = size(window.position(first + i)) + 1;
      softmax(seen_row, scores + size(i) * size(dots.keys), static_cast<double>(args.scale), seen);
      add_scaled(sums, seen_row, 1.0, seen);
    }
  }
  float* out = row_of(args.out, args.shape, row, head, args.keys);
  const int queries = args.window - window.first();
  for (int key = 0; key < args.keys; ++key) {
    out[key] = static_cast<float>(sums[key] / queries);
  }
}

void window_logits(const WindowRowsArgs& args, int index, Pieces pieces) {
  const KvHead head = kv_head_at(args.shape, index);
  const Window window(args, head.row);
  const int group = group_of(args.shape);
  auto* const scores = pieces.take<float>(size(kScoreRows) * size(args.keys));
  const auto row_out = [&](int query) {
    const int slot = (window.position(query) % args.window + args.window) % args.window;
    const std::ptrdiff_t kv_heads = static_cast<std::ptrdiff_t>(args.batch) * args.shape.kv_heads;
    return args.out + (slot * kv_heads + index) * args.keys;
  };
  for (int query = 0; query < args.window; ++query) {
    std::fill(row_out(query), row_out(query) + args.keys, -std::numeric_limits<float>::infinity());
  }
  for (int first = window.first(); first < args.window; first += kScoreRows) {
    const QueryTile tile = {.first = first, .count = std::min(kScoreRows, args.window - first)};
    for (int member = 0; member < group; ++member) {
      const Dots dots = window.dots(tile, head.kv_head * group + member);
      dots.multiply(scores);
      for (int i = 0; i < tile.count; ++i) {
        float* out = row_out(first + i);
        const float* in = scores + size(i) * size(dots.keys);
        for (int key = 0; key <= window.position(first + i); ++key) {
          out[key] = std::max(out[key], args.scale * in[key]);
        }
      }
    }
  }
}

}  // namespace

void CpuScoring::keep_queries(const KeepQueriesArgs& args) {
  const QueryChunk& chunk = args.chunk;
  const std::size_t width = size(chunk.shape.heads) * size(chunk.shape.head_dim);
  const int window_begin = args.keys - args.window;
  const int first = std::max(window_begin - chunk.past, 0);
  if (first >= chunk.tokens) {
    return;
  }
  for (int row = 0; row < chunk.batch; ++row) {
    const std::size_t to =
        size(chunk.first_row + row) * size(args.window) + size(chunk.past + first - window_begin);
    const std::size_t from = size(row) * size(chunk.tokens) + size(first);
    std::memcpy(static_cast<float*>(args.out) + to * width,
                static_cast<const float*>(chunk.query) + from * width,
                size(chunk.tokens - first) * width * sizeof(float));
  }
}

void CpuScoring::column_sums(const ColumnSumsArgs& args) {
  const QueryChunk& chunk = args.chunk;
  check(chunk.shape);
  check(args.kv);
  KVG_EXPECT(args.reduce != Reduce::kAll, "column sums are reduced over the group");
  const int group = group_of(chunk.shape);
  const std::size_t seen = size(chunk.past + chunk.tokens);
  const Tiles tiles(scratch_, rows_tile_floats(group, seen));
  Pieces shared(scratch_.figures(column_shared_floats(seen)));
  double* share_sums[kQueryShares] = {};
  for (double*& sums : share_sums) {
    sums = shared.take<double>(seen);
  }
  const int queries = queries_of_tile(group);
  const int tile_count = (chunk.tokens + queries - 1) / queries;
  const int shares = std::min(tile_count, kQueryShares);
  for (int index = 0; index < chunk.batch * chunk.shape.kv_heads; ++index) {
    const KvHead head = kv_head_at(chunk.shape, index);
    const ColumnSums sums(args, head);
    team_.run(shares, [&](int share, int thread) {
      std::fill(share_sums[share], share_sums[share] + seen, 0.0);
      // Every share has tiles of all lengths.
      for (int tile = share; tile < tile_count; tile += shares) {
        const int first = tile * queries;
        sums.add({.first = first, .count = std::min(queries, chunk.tokens - first)},
                 tiles.of(thread),
                 share_sums[share]);
      }
    });
    const std::ptrdiff_t at = (chunk.first_row * chunk.shape.kv_heads + index);
    for (int share = 0; share < shares; ++share) {
      add_scaled(args.out + at * args.keys, share_sums[share], 1.0, seen);
    }
  }
}

void CpuScoring::moments(const MomentsArgs& args) {
  const QueryChunk& chunk = args.chunk;
  const Tiles tiles(scratch_, entry_tile_floats(size(chunk.shape.head_dim)));
  const int first = std::max(args.skip - chunk.past, 0);
  team_.run(chunk.batch * chunk.shape.heads, [&](int index, int thread) {
    auto* const tile = tiles.of(thread).take<double>(size(kScoreRows) * size(chunk.shape.head_dim));
    add_moments(args, index / chunk.shape.heads, index % chunk.shape.heads, first, tile);
  });
}

void CpuScoring::window_rows(const WindowRowsArgs& args) {
  check(args.shape);
  check(args.kv);
  const Tiles tiles(scratch_, rows_tile_floats(1, size(args.keys)));
  if (args.logits) {
    team_.run(args.batch * args.shape.kv_heads,
              [&](int index, int thread) { window_logits(args, index, tiles.of(thread)); });
    return;
  }
  team_.run(args.batch * args.shape.heads, [&](int index, int thread) {
    window_probabilities(
        args, index / args.shape.heads, index % args.shape.heads, tiles.of(thread));
  });
}

}  // namespace kvg::kernels::cpu
