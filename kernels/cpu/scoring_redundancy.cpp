#include <algorithm>
#include <cblas.h>
#include <limits>

#include "kernels/cpu/scoring.h"
#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_rows.h"
#include "kernels/cpu/scoring_scratch.h"
#include "kernels/cpu/stored_rows.h"

namespace kvg::kernels::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeastNorm = 1e-12;

// One head's entries from the oldest to the newest.
class Head {
 public:
  Head(const RedundancyArgs& args, int index)
      : args_(args),
        index_(index),
        row_(index / args.shape.kv_heads),
        head_(args.keys.heads[index]),
        newest_(args.cursor == nullptr ? head_.entries - 1 : args.cursor->position) {}

  // The newest query's logits, the largest of the group.
  void put_logits() const {
    const int group = group_of(args_.shape);
    const KvHead at = kv_head_at(args_.shape, index_);
    const float* const rows =
        row_of(args_.rows, args_.shape, at.row, at.kv_head * group, args_.keys.capacity);
    float* const out = logits_of(newest_ % args_.window);
    std::copy_n(rows, head_.entries, out);
    for (int member = 1; member < group; ++member) {
      const float* const other = rows + member * args_.keys.capacity;
      std::transform(
          out, out + head_.entries, other, out, [](float a, float b) { return std::max(a, b); });
    }
  }

  [[nodiscard]] bool is_due() const { return args_.always || head_.entries >= head_.limit; }

  void score(Pieces pieces) const {
    auto* const order = pieces.take<std::int32_t>(entries());
    auto* const importance = pieces.take<double>(entries());
    auto* const redundancy = pieces.take<double>(entries());
    auto* const row = pieces.take<double>(entries());
    sort_by_age(order, pieces);
    const std::size_t older =
        size(static_cast<int>(std::count_if(order, order + entries(), [&](std::int32_t slot) {
          return position_of(slot) <= newest_ - args_.window;
        })));
    double* const scores = args_.scores + row_ * args_.keys.slots + head_.start;
    std::for_each(
        order + older, order + entries(), [&](std::int32_t slot) { scores[slot] = kInfinity; });
    if (older == 0) {
      return;
    }
    average_attention(importance, order, older, row);
    average_likeness(redundancy, order, pieces);
    for (std::size_t age = 0; age < older; ++age) {
      scores[order[age]] = args_.lambda * largest_near(importance, age, older) -
                           (1.0 - args_.lambda) * redundancy[age];
    }
  }

 private:
  [[nodiscard]] std::size_t entries() const { return size(head_.entries); }

  [[nodiscard]] float* logits_of(int window_row) const {
    const std::int64_t heads = static_cast<std::int64_t>(args_.batch) * args_.shape.kv_heads;
    return args_.logits + (window_row * heads + index_) * args_.keys.capacity;
  }

  [[nodiscard]] std::int32_t position_of(std::int32_t slot) const {
    if (args_.cursor != nullptr && slot == head_.slot) {
      return newest_;
    }
    return args_.positions == nullptr
               ? slot
               : args_.positions[row_ * args_.keys.slots + head_.start + slot];
  }

  void sort_by_age(std::int32_t* order, Pieces& pieces) const {
    auto* const positions = pieces.take<std::int32_t>(entries());
    for (std::int32_t slot = 0; slot < head_.entries; ++slot) {
      order[slot] = slot;
      positions[slot] = position_of(slot);
    }
    std::sort(order, order + entries(), [&](std::int32_t a, std::int32_t b) {
      return positions[a] < positions[b];
    });
  }

  // The mean over the window of the softmax over the first `older` entries.
  void average_attention(double* out,
                         const std::int32_t* order,
                         std::size_t older,
                         double* row) const {
    std::fill(out, out + older, 0.0);
    for (int query = 0; query < args_.window; ++query) {
      const float* const logits = logits_of(query);
      std::transform(order, order + older, row, [&](std::int32_t slot) {
        return static_cast<double>(logits[slot]);
      });
      softmax(row, row, older);
      add_scaled(out, row, 1.0 / args_.window, older);
    }
  }

  [[nodiscard]] double largest_near(const double* figures,
                                    std::size_t age,
                                    std::size_t older) const {
    const std::size_t half = size(args_.kernel / 2);
    const std::size_t begin = age < half ? 0 : age - half;
    return *std::max_element(figures + begin, figures + std::min(age + half + 1, older));
  }

  // The softmax of the mean likeness of every other entry to this one.
  void average_likeness(double* out, const std::int32_t* order, Pieces& pieces) const {
    const int dim = args_.shape.head_dim;
    auto* const units = pieces.take<float>(entries() * size(dim));
    auto* const likeness = pieces.take<float>(size(kScoreRows) * entries());
    put_units(units, order, pieces);
    std::fill(out, out + entries(), 0.0);
    for (int first = 0; first < head_.entries; first += kScoreRows) {
      const int count = std::min(kScoreRows, head_.entries - first);
      cblas_sgemm(CblasRowMajor,
                  CblasNoTrans,
                  CblasTrans,
                  count,
                  head_.entries,
                  dim,
                  1.0F,
                  units + size(first) * size(dim),
                  dim,
                  units,
                  dim,
                  0.0F,
                  likeness,
                  head_.entries);
      for (int i = 0; i < count; ++i) {
        float* const to_others = likeness + size(i) * entries();
        to_others[first + i] = 0.0F;
        drop_newest(to_others);
        add_scaled(out, to_others, 1.0 / head_.entries, entries());
      }
    }
    softmax(out, out, entries());
  }

  // Keys of length 1, transformed as they are stored: no transform changes an angle.
  void put_units(float* units, const std::int32_t* order, Pieces& pieces) const {
    const std::size_t dim = size(args_.shape.head_dim);
    const StoredHead stored = {.side = &args_.keys.keys,
                               .index = index_,
                               .first_row = row_ * args_.keys.slots + head_.start,
                               .packed = head_.packed_keys,
                               .head_dim = args_.shape.head_dim};
    read_rows({.head = stored,
               .entries = order,
               .count = entries(),
               .out = units,
               .scratch = pieces.take<float>(row_scratch_floats(dim))});
    for (std::size_t age = 0; age < entries(); ++age) {
      float* const unit = units + age * dim;
      const double norm = std::max(norm_of(unit, dim), kLeastNorm);
      std::for_each_n(
          unit, dim, [&](float& x) { x = static_cast<float>(static_cast<double>(x) / norm); });
    }
  }

  // So that the newest copy of what repeats does not count against it.
  void drop_newest(float* to_others) const {
    for (std::size_t age = entries(); age-- > 0;) {
      if (static_cast<double>(to_others[age]) > args_.threshold) {
        to_others[age] = 0.0F;
        return;
      }
    }
  }

  const RedundancyArgs& args_;
  int index_;
  std::int64_t row_;
  const HeadCursor& head_;
  std::int32_t newest_;
};

}  // namespace

void CpuScoring::redundancy(const RedundancyArgs& args) {
  check(args.shape);
  const int heads = args.batch * args.shape.kv_heads;
  std::int32_t most = 0;
  for (int index = 0; index < heads; ++index) {
    const Head head(args, index);
    most = std::max(most, head.is_due() ? args.keys.heads[index].entries : 0);
  }
  const Tiles tiles(scratch_, redundancy_tile_floats(size(args.shape.head_dim), size(most)));
  team_.run(heads, [&](int index, int thread) {
    const Head head(args, index);
    if (args.rows != nullptr) {
      head.put_logits();
    }
    if (head.is_due()) {
      head.score(tiles.of(thread));
    }
  });
}

}  // namespace kvg::kernels::cpu
