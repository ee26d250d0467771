// Attention of many queries at once: tiles of queries of one head, whose scores and weighted values
// are matrix products over the keys that any of them sees.

#include <algorithm>
#include <cblas.h>
#include <limits>

#include "kernels/core/error.h"
#include "kernels/cpu/attend.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/scratch.h"

namespace kvg::kernels::cpu {
namespace {

const float* entries_of(const void* data, const KvView& view, int row, int kv_head) {
  return static_cast<const float*>(data) + row * view.batch_stride + kv_head * view.head_stride;
}

// Queries [first, first + count) of one head of one row. The keys that some of them sees are the
// sinks and one stretch behind them, up to the last query's own: columns of the scores, without a
// gap.
struct PrefillTile {
  const PrefillAttendArgs& args;
  int row = 0;
  int head = 0;
  int first = 0;
  int count = 0;

  [[nodiscard]] int position(int query) const { return args.past + first + query; }
  [[nodiscard]] int sinks() const { return std::min(args.sees.sinks, position(count)); }
  /// The first key of the stretch.
  [[nodiscard]] int begin() const { return std::min(args.sees.first_of(position(0)), end()); }
  [[nodiscard]] int end() const { return position(count); }
  [[nodiscard]] int columns() const { return sinks() + end() - begin(); }
  [[nodiscard]] int query_stride() const { return args.shape.heads * args.shape.head_dim; }
  /// Of the first query's head in [batch, tokens, heads, head_dim].
  [[nodiscard]] std::ptrdiff_t query_at() const {
    return (static_cast<std::ptrdiff_t>(row) * args.tokens + first) * query_stride() +
           static_cast<std::ptrdiff_t>(head) * args.shape.head_dim;
  }
  /// Entry `slot` of the head's keys or values.
  [[nodiscard]] const float* entry(const void* side, int slot) const {
    const int kv_head = head / (args.shape.heads / args.shape.kv_heads);
    return entries_of(side, args.kv, row, kv_head) +
           static_cast<std::ptrdiff_t>(slot) * args.shape.head_dim;
  }
};

// Columns of scores and the keys that they are of.
struct Stretch {
  int column = 0;
  int slot = 0;
  int count = 0;
};

void score_stretch(const PrefillTile& tile, const void* query, const Stretch& keys, float* scores) {
  if (keys.count <= 0) {
    return;
  }
  cblas_sgemm(CblasRowMajor,
              CblasNoTrans,
              CblasTrans,
              tile.count,
              keys.count,
              tile.args.shape.head_dim,
              1.0F,
              static_cast<const float*>(query) + tile.query_at(),
              tile.query_stride(),
              tile.entry(tile.args.kv.keys, keys.slot),
              tile.args.shape.head_dim,
              0.0F,
              scores + keys.column,
              tile.columns());
}

// Scores of one query to weights that add up to 1; 0 for what it does not see.
void weigh_row(const PrefillTile& tile, int query, float* row) {
  const int position = tile.position(query);
  const int sinks = tile.sinks();
  float* end = row + position + 1;
  if (position >= sinks) {
    float* const others = row + sinks;
    end = others + position + 1 - tile.begin();
    std::fill(others,
              others + tile.args.sees.first_of(position) - tile.begin(),
              -std::numeric_limits<float>::infinity());
  }
  const auto seen = static_cast<std::size_t>(end - row);
  const float weight = 1.0F / exponentiate(row, tile.args.scale, seen).sum;
  for (std::size_t k = 0; k < seen; ++k) {
    row[k] *= weight;
  }
  std::fill(end, row + tile.columns(), 0.0F);
}

void mix_stretch(const PrefillTile& tile, const float* weights, const Stretch& values, float beta) {
  if (values.count <= 0) {
    return;
  }
  cblas_sgemm(CblasRowMajor,
              CblasNoTrans,
              CblasNoTrans,
              tile.count,
              tile.args.shape.head_dim,
              values.count,
              1.0F,
              weights + values.column,
              tile.columns(),
              tile.entry(tile.args.kv.values, values.slot),
              tile.args.shape.head_dim,
              beta,
              static_cast<float*>(tile.args.out) + tile.query_at(),
              tile.query_stride());
}

void attend_tile(const PrefillTile& tile, float* scores) {
  const PrefillAttendArgs& args = tile.args;
  const Stretch sinks = {.column = 0, .slot = 0, .count = tile.sinks()};
  const Stretch others = {
      .column = sinks.count, .slot = tile.begin(), .count = tile.end() - tile.begin()};
  score_stretch(tile, args.sink_query != nullptr ? args.sink_query : args.query, sinks, scores);
  score_stretch(tile, args.query, others, scores);
  for (int query = 0; query < tile.count; ++query) {
    weigh_row(tile, query, scores + static_cast<std::ptrdiff_t>(query) * tile.columns());
  }
  mix_stretch(tile, scores, sinks, 0.0F);
  mix_stretch(tile, scores, others, sinks.count > 0 ? 1.0F : 0.0F);
}

}  // namespace

void prefill_attend(const PrefillAttendArgs& args, const Resources& resources) {
  KVG_EXPECT(args.shape.kv_heads > 0 && args.shape.heads % args.shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
  KVG_EXPECT(args.kv.dtype == DType::kF32, "the cpu computes in f32");
  float* scratch =
      resources.scratch.tiles(prefill_tile_floats(args.tokens, args.past + args.tokens));
  const int blocks = (args.tokens + kTileQueries - 1) / kTileQueries;
  const int units = args.batch * args.shape.heads * blocks;
  resources.team.run(units, [&](int unit, int thread) {
    // Tasks are taken from the last one down, so the longest tiles come first and the threads end
    // together.
    const int block = unit / (args.batch * args.shape.heads);
    const PrefillTile tile = {.args = args,
                              .row = unit / args.shape.heads % args.batch,
                              .head = unit % args.shape.heads,
                              .first = block * kTileQueries,
                              .count = std::min(kTileQueries, args.tokens - block * kTileQueries)};
    const std::size_t at = static_cast<std::size_t>(thread) * resources.scratch.thread_stride();
    attend_tile(tile, scratch + at);
  });
}

}  // namespace kvg::kernels::cpu
