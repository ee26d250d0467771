#include "kernels/cpu/attend.h"

#include <algorithm>
#include <cblas.h>

#include "kernels/core/error.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/split_attention.h"

namespace kvg::kernels::cpu {
namespace {

// Heads whose splits one task merges; fewer are not worth waking another thread.
constexpr int kMergesPerTask = 16;

const float* entries_of(const void* data, const KvView& view, int row, int kv_head) {
  return static_cast<const float*>(data) + row * view.batch_stride + kv_head * view.head_stride;
}

void check(const HeadShape& shape) {
  KVG_EXPECT(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
}

// One step's attention cut into units of one split of one kv_head of one row.
class Step {
 public:
  Step(const AttendArgs& args, const Resources& resources)
      : args_(args),
        resources_(resources),
        entries_(most_entries(args)),
        splits_(splits_of(entries_)),
        group_(args.shape.heads / args.shape.kv_heads),
        heads_(args.batch * args.shape.heads) {
    const auto pieces = static_cast<std::size_t>(splits_) * static_cast<std::size_t>(heads_);
    parts_ = resources.scratch.parts(pieces * head_dim());
    maxima_ = resources.scratch.stats(pieces);
    sums_ = maxima_ + pieces;
    scores_ = resources.scratch.tiles(static_cast<std::size_t>(group_) * kSplitEntries);
  }

  [[nodiscard]] int units() const { return args_.batch * args_.shape.kv_heads * splits_; }
  [[nodiscard]] int heads() const { return heads_; }

  void attend(int unit, int thread) const {
    const int split = unit % splits_;
    const int kv_head = unit / splits_ % args_.shape.kv_heads;
    const int row = unit / splits_ / args_.shape.kv_heads;
    const HeadCursor& cursor = args_.kv.heads[row * args_.shape.kv_heads + kv_head];
    // Equal parts, so that the last one does not lag.
    const std::int32_t length = (cursor.entries + splits_ - 1) / splits_;
    const std::int64_t start = (row * args_.kv.slots + cursor.start) * args_.shape.head_dim;
    const int first_head = row * args_.shape.heads + kv_head * group_;
    const auto head = static_cast<std::size_t>(first_head);
    const std::size_t piece =
        static_cast<std::size_t>(split) * static_cast<std::size_t>(heads_) + head;
    const auto* sink_query = static_cast<const float*>(args_.sink_query);
    attend_split({.out = parts_ + piece * head_dim(),
                  .max = maxima_ + piece,
                  .sum = sums_ + piece,
                  .query = static_cast<const float*>(args_.query) + head * head_dim(),
                  .sink_query = sink_query == nullptr ? nullptr : sink_query + head * head_dim(),
                  .sinks = args_.sinks,
                  .keys = static_cast<const float*>(args_.kv.keys.codes) + start,
                  .values = static_cast<const float*>(args_.kv.values.codes) + start,
                  .begin = std::min(cursor.entries, split * length),
                  .end = std::min(cursor.entries, (split + 1) * length),
                  .group = static_cast<std::size_t>(group_),
                  .head_dim = head_dim(),
                  .scale = args_.scale,
                  .scores = scores_ +
                            static_cast<std::size_t>(thread) * resources_.scratch.thread_stride()});
  }

  void merge(int head) const {
    const auto index = static_cast<std::size_t>(head);
    merge_splits({.out = static_cast<float*>(args_.out) + index * head_dim(),
                  .parts = parts_ + index * head_dim(),
                  .maxima = maxima_ + index,
                  .sums = sums_ + index,
                  .part_stride = static_cast<std::size_t>(heads_) * head_dim(),
                  .stat_stride = static_cast<std::size_t>(heads_),
                  .splits = static_cast<std::size_t>(splits_),
                  .head_dim = head_dim()});
  }

 private:
  [[nodiscard]] std::size_t head_dim() const {
    return static_cast<std::size_t>(args_.shape.head_dim);
  }

  static std::int32_t most_entries(const AttendArgs& args) {
    const auto* const most = std::max_element(args.kv.heads,
                                              args.kv.heads + args.batch * args.shape.kv_heads,
                                              [](const HeadCursor& a, const HeadCursor& b) {
                                                return a.entries < b.entries;
                                              });
    return most->entries;
  }

  const AttendArgs& args_;
  const Resources& resources_;
  std::int32_t entries_;  ///< of the head that has most
  int splits_;
  int group_;
  int heads_;  ///< of all rows
  float* parts_ = nullptr;
  float* maxima_ = nullptr;
  float* sums_ = nullptr;
  float* scores_ = nullptr;
};

// Queries [first, first + count) of one head of one row against all keys up to each.
struct PrefillTile {
  int row = 0;
  int head = 0;
  int first = 0;
  int count = 0;
};

void attend_tile(const PrefillAttendArgs& args, const PrefillTile& tile, float* scores) {
  const HeadShape& shape = args.shape;
  const int kv_head = tile.head / (shape.heads / shape.kv_heads);
  const int keys = args.past + tile.first + tile.count;
  const int token_stride = shape.heads * shape.head_dim;
  const std::ptrdiff_t token = static_cast<std::ptrdiff_t>(tile.row) * args.tokens + tile.first;
  const std::ptrdiff_t at = token * token_stride + tile.head * shape.head_dim;
  cblas_sgemm(CblasRowMajor,
              CblasNoTrans,
              CblasTrans,
              tile.count,
              keys,
              shape.head_dim,
              1.0F,
              static_cast<const float*>(args.query) + at,
              token_stride,
              entries_of(args.kv.keys, args.kv, tile.row, kv_head),
              shape.head_dim,
              0.0F,
              scores,
              keys);
  for (int i = 0; i < tile.count; ++i) {
    float* row = scores + static_cast<std::ptrdiff_t>(i) * keys;
    const int last = args.past + tile.first + i;
    const auto seen = static_cast<std::size_t>(last) + 1;
    const float sum = exponentiate(row, args.scale, seen).sum;
    for (std::size_t k = 0; k < seen; ++k) {
      row[k] /= sum;
    }
    std::fill(row + seen, row + keys, 0.0F);
  }
  cblas_sgemm(CblasRowMajor,
              CblasNoTrans,
              CblasNoTrans,
              tile.count,
              shape.head_dim,
              keys,
              1.0F,
              scores,
              keys,
              entries_of(args.kv.values, args.kv, tile.row, kv_head),
              shape.head_dim,
              0.0F,
              static_cast<float*>(args.out) + at,
              token_stride);
}

}  // namespace

void attend(const AttendArgs& args, const Resources& resources) {
  check(args.shape);
  KVG_EXPECT(args.kv.keys.form == Form{} && args.kv.values.form == Form{} &&
                 args.pages.pages == nullptr && args.scores == nullptr,
             "f32 alone so far");
  const Step step(args, resources);
  resources.team.run(step.units(), [&](int unit, int thread) { step.attend(unit, thread); });
  const int tasks = (step.heads() + kMergesPerTask - 1) / kMergesPerTask;
  resources.team.run(tasks, [&](int task, int) {
    const int end = std::min(step.heads(), (task + 1) * kMergesPerTask);
    for (int head = task * kMergesPerTask; head < end; ++head) {
      step.merge(head);
    }
  });
}

void prefill_attend(const PrefillAttendArgs& args, const Resources& resources) {
  check(args.shape);
  KVG_EXPECT(args.kv.dtype == DType::kF32, "the cpu computes in f32");
  float* scratch =
      resources.scratch.tiles(prefill_tile_floats(args.tokens, args.past + args.tokens));
  const int blocks = (args.tokens + kTileQueries - 1) / kTileQueries;
  const int units = args.batch * args.shape.heads * blocks;
  resources.team.run(units, [&](int unit, int thread) {
    // Tasks are taken from the last one down, so the longest tiles come first and the threads end
    // together.
    const int block = unit / (args.batch * args.shape.heads);
    const PrefillTile tile = {.row = unit / args.shape.heads % args.batch,
                              .head = unit % args.shape.heads,
                              .first = block * kTileQueries,
                              .count = std::min(kTileQueries, args.tokens - block * kTileQueries)};
    const std::size_t at = static_cast<std::size_t>(thread) * resources.scratch.thread_stride();
    attend_tile(args, tile, scratch + at);
  });
}

}  // namespace kvg::kernels::cpu
