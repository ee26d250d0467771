#include "kernels/cpu/attend.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/split_attention.h"
#include "kernels/cpu/stored_rows.h"
#include "kernels/transform.h"

namespace kvg::kernels::cpu {
namespace {

// Heads whose splits one task merges; fewer are not worth waking another thread.
constexpr int kMergesPerTask = 16;

void check(const HeadShape& shape) {
  KVG_EXPECT(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
}

// Which entries of a head a step reads, in the order of their slots.
class EntryList {
 public:
  EntryList(const AttendArgs& args, int index) : entries_(args.kv.heads[index].entries) {
    if (args.pages.pages == nullptr) {
      count_ = entries_;
      return;
    }
    page_ = args.pages.page;
    pages_ = args.pages.pages + std::ptrdiff_t{index} * args.pages.count;
    // Ascending, and -1 behind them; the last may be the one that fills now.
    std::int32_t pages = args.pages.count;
    while (pages > 0 && pages_[pages - 1] < 0) {
      --pages;
    }
    count_ = pages == 0
                 ? 0
                 : (pages - 1) * page_ + std::min(page_, entries_ - pages_[pages - 1] * page_);
  }

  [[nodiscard]] std::int32_t count() const { return count_; }
  [[nodiscard]] std::int32_t at(std::int32_t i) const {
    return pages_ == nullptr ? i : pages_[i / page_] * page_ + i % page_;
  }

 private:
  std::int32_t entries_;
  std::int32_t count_ = 0;
  std::int32_t page_ = 0;
  const std::int32_t* pages_ = nullptr;
};

// One step's attention cut into units of one split of one kv_head of one row.
class Step {
 public:
  Step(const AttendArgs& args, const Resources& resources)
      : args_(args),
        resources_(resources),
        splits_(most_splits(args)),
        group_(args.shape.heads / args.shape.kv_heads),
        heads_(args.batch * args.shape.heads) {
    const auto pieces = static_cast<std::size_t>(splits_) * static_cast<std::size_t>(heads_);
    parts_ = resources.scratch.parts(pieces * head_dim());
    maxima_ = resources.scratch.stats(pieces);
    sums_ = maxima_ + pieces;
    tiles_ = resources.scratch.tiles(step_tile_floats(group(), head_dim()));
  }

  [[nodiscard]] int units() const { return args_.batch * args_.shape.kv_heads * splits_; }
  [[nodiscard]] int heads() const { return heads_; }

  void attend(int unit, int thread) const {
    const int split = unit % splits_;
    const int index = unit / splits_;
    const EntryList list(args_, index);
    const int splits = splits_of(list.count());
    if (split >= splits) {
      return;  // of a head that has fewer entries than others
    }
    // Equal parts, so that the last one does not lag.
    const std::int32_t length = (list.count() + splits - 1) / splits;
    const std::int32_t begin = split * length;
    std::int32_t slots[kSplitEntries];
    const std::int32_t count = std::min(list.count(), begin + length) - begin;
    for (std::int32_t i = 0; i < count; ++i) {
      slots[i] = list.at(begin + i);
    }
    float* tile = tiles_ + static_cast<std::size_t>(thread) * resources_.scratch.thread_stride();
    attend_slots({.slots = slots, .count = static_cast<std::size_t>(count)}, index, split, tile);
  }

  void merge(int head) const {
    const auto index = static_cast<std::size_t>(head);
    float* out = static_cast<float*>(args_.out) + index * head_dim();
    const int splits = splits_of(EntryList(args_, head / group_).count());
    merge_splits({.out = out,
                  .parts = parts_ + index * head_dim(),
                  .maxima = maxima_ + index,
                  .sums = sums_ + index,
                  .part_stride = static_cast<std::size_t>(heads_) * head_dim(),
                  .stat_stride = static_cast<std::size_t>(heads_),
                  .splits = static_cast<std::size_t>(splits),
                  .head_dim = head_dim()});
    turn_back(args_.kv.values.form.transform, out, args_.shape.head_dim);
  }

 private:
  struct Slots {
    const std::int32_t* slots = nullptr;
    std::size_t count = 0;
  };

  [[nodiscard]] std::size_t head_dim() const {
    return static_cast<std::size_t>(args_.shape.head_dim);
  }
  [[nodiscard]] std::size_t group() const { return static_cast<std::size_t>(group_); }

  void attend_slots(const Slots& slots, int index, int split, float* tile) const {
    const std::size_t head = static_cast<std::size_t>(index) * group();
    const std::size_t piece =
        static_cast<std::size_t>(split) * static_cast<std::size_t>(heads_) + head;
    float* rows = tile + group() * kSplitEntries;
    float* queries = rows + kSplitEntries * head_dim();
    float* scratch = queries + 2 * group() * head_dim();
    const auto* sinks_end = std::lower_bound(slots.slots, slots.slots + slots.count, args_.sinks);
    SplitArgs work = {.out = parts_ + piece * head_dim(),
                      .max = maxima_ + piece,
                      .sum = sums_ + piece,
                      .query = turned(args_.query, head, queries),
                      .sink_query = turned(args_.sink_query, head, queries + group() * head_dim()),
                      .sinks = static_cast<std::size_t>(sinks_end - slots.slots),
                      .count = slots.count,
                      .group = group(),
                      .head_dim = head_dim(),
                      .scale = args_.scale,
                      .scores = tile};
    const HeadCursor& cursor = args_.kv.heads[index];
    const auto read = [&](const StoredSide& side, std::int32_t packed) {
      const StoredHead stored = {
          .side = &side,
          .index = index,
          .first_row = first_row(args_.kv, side, args_.shape.kv_heads, index),
          .packed = packed,
          .head_dim = args_.shape.head_dim};
      return rows_of(stored, slots, rows, scratch);
    };
    work.keys = read(args_.kv.keys, cursor.packed_keys);
    score_split(work);
    if (args_.scores != nullptr) {
      put_scores(work, slots, head);
    }
    work.values = read(args_.kv.values, cursor.packed_values);
    weigh_split(work);
  }

  // The queries of a group from query head `head` on, turned as the keys are, in `turned_queries`.
  const float* turned(const void* queries, std::size_t head, float* turned_queries) const {
    if (queries == nullptr) {
      return nullptr;
    }
    const float* from = static_cast<const float*>(queries) + head * head_dim();
    if (args_.kv.keys.form.transform == Transform::kNone) {
      return from;
    }
    std::copy(from, from + group() * head_dim(), turned_queries);
    for (std::size_t q = 0; q < group(); ++q) {
      turn_query(
          args_.kv.keys.form.transform, turned_queries + q * head_dim(), args_.shape.head_dim);
    }
    return turned_queries;
  }

  // The entries of these slots as f32: where they lie, or read into `rows`.
  const float* rows_of(const StoredHead& head,
                       const Slots& slots,
                       float* rows,
                       float* scratch) const {
    if (is_plain(*head.side) && head.side->waiting == nullptr && args_.pages.pages == nullptr) {
      return reinterpret_cast<const float*>(head.codes(slots.slots[0]));
    }
    read_rows({.head = head,
               .entries = slots.slots,
               .count = slots.count,
               .out = rows,
               .scratch = scratch});
    return rows;
  }

  void put_scores(const SplitArgs& work, const Slots& slots, std::size_t head) const {
    for (std::size_t q = 0; q < group(); ++q) {
      float* out = args_.scores + (head + q) * static_cast<std::size_t>(args_.kv.capacity);
      for (std::size_t i = 0; i < slots.count; ++i) {
        out[slots.slots[i]] = args_.scale * work.scores[q * kSplitEntries + i];
      }
    }
  }

  static int most_splits(const AttendArgs& args) {
    int most = 1;
    for (int index = 0; index < args.batch * args.shape.kv_heads; ++index) {
      const std::int32_t entries = args.kv.heads[index].entries;
      KVG_EXPECT(entries > 0 && entries <= args.kv.capacity,
                 "a head of " + std::to_string(entries) + " entries; its cache takes 1 to " +
                     std::to_string(args.kv.capacity));
      most = std::max(most, splits_of(EntryList(args, index).count()));
    }
    return most;
  }

  const AttendArgs& args_;
  const Resources& resources_;
  int splits_;  ///< of the head that has most
  int group_;
  int heads_;  ///< of all rows
  float* parts_ = nullptr;
  float* maxima_ = nullptr;
  float* sums_ = nullptr;
  float* tiles_ = nullptr;
};

}  // namespace

void attend(const AttendArgs& args, const Resources& resources) {
  check(args.shape);
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

}  // namespace kvg::kernels::cpu
