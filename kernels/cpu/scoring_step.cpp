#include <algorithm>
#include <limits>

#include "kernels/cpu/scoring.h"
#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_rows.h"
#include "kernels/cpu/scoring_scratch.h"
#include "kernels/cpu/scoring_select.h"
#include "kernels/hash.h"

namespace kvg::kernels::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One head's part of an eviction.
class Eviction {
 public:
  Eviction(const EvictArgs& args, int index)
      : args_(args),
        at_(kv_head_at(args.shape, index)),
        head_(args.heads[index]),
        scores_(args.scores + at_.row * args.slots + head_.start),
        positions_(args.positions + at_.row * args.slots + head_.start),
        newest_(args.cursor->position) {}

  void enter(Pieces pieces) const {
    positions_[head_.slot] = newest_;
    double& score = scores_[head_.slot];
    switch (args_.update) {
      case Update::kNone:
        score = kInfinity;
        break;
      case Update::kRandom:
        score = random_score({.seed = args_.seed,
                              .layer = args_.layer,
                              .kv_head = at_.kv_head,
                              .position = newest_});
        break;
      case Update::kSum:
        score = 0.0;
        add_scaled(scores_, probabilities(pieces), 1.0, entries());
        break;
      case Update::kReplace:
        std::copy_n(probabilities(pieces), entries(), scores_);
        break;
      case Update::kGiven:
        break;
    }
  }

  void move() const {
    if (head_.entries < head_.limit) {
      head_ = next_of(head_);
    } else {
      head_.slot = leaving();
    }
  }

 private:
  // What an entry leaves by, the lowest first.
  struct Claim {
    bool is_recent = false;
    double score = 0.0;
    std::int32_t position = 0;

    friend bool operator<(const Claim& a, const Claim& b) {
      if (a.is_recent != b.is_recent) {
        return b.is_recent;
      }
      return a.score != b.score ? a.score < b.score : a.position < b.position;
    }
  };

  [[nodiscard]] std::size_t entries() const { return size(head_.entries); }

  // The newest query's, reduced over the query heads: [entries].
  const double* probabilities(Pieces& pieces) const {
    auto* const figures = pieces.take<double>(entries());
    auto* const row = pieces.take<double>(entries());
    const int group = group_of(args_.shape);
    const bool is_all = args_.reduce == Reduce::kAll;
    const int first = is_all ? 0 : at_.kv_head * group;
    const int count = is_all ? args_.shape.heads : group;
    for (int member = 0; member < count; ++member) {
      const float* const logits =
          row_of(args_.rows, args_.shape, at_.row, first + member, args_.capacity);
      softmax(member == 0 ? figures : row, logits, 1.0, entries());
      if (member > 0 && args_.reduce == Reduce::kMax) {
        raise_to(figures, row, entries());
      } else if (member > 0) {
        add_scaled(figures, row, 1.0, entries());
      }
    }
    if (is_all || args_.reduce == Reduce::kMean) {
      std::for_each_n(figures, entries(), [&](double& figure) { figure /= count; });
    }
    return figures;
  }

  [[nodiscard]] Claim claim_of(std::int32_t slot) const {
    const std::int32_t position = positions_[slot];
    const std::int32_t recent =
        args_.recent == kHalfOfBudget ? (head_.limit - 1) / 2 : args_.recent;
    const bool is_recent = position > newest_ - recent;
    const double score = scores_[slot];
    return {.is_recent = is_recent,
            .score = args_.by_age ? score / (newest_ - position + 1) : score,
            .position = position};
  }

  [[nodiscard]] std::int32_t leaving() const {
    std::int32_t slot = 0;
    Claim lowest = claim_of(0);
    for (std::int32_t other = 1; other < head_.entries; ++other) {
      const Claim claim = claim_of(other);
      if (claim < lowest) {
        slot = other;
        lowest = claim;
      }
    }
    return slot;
  }

  const EvictArgs& args_;
  KvHead at_;
  HeadCursor& head_;
  double* scores_;           ///< [entries]
  std::int32_t* positions_;  ///< [entries]
  std::int32_t newest_;
};

// Two rows: the smallest and the largest of every channel.
float* bounds_of(const PageBoundsArgs& args, int index, int page) {
  const std::ptrdiff_t number = static_cast<std::ptrdiff_t>(index) * args.pages + page;
  return args.bounds + number * 2 * args.shape.head_dim;
}

void include(float* bounds, const float* key, int head_dim) {
  for (int c = 0; c < head_dim; ++c) {
    bounds[c] = std::min(bounds[c], key[c]);
    bounds[head_dim + c] = std::max(bounds[head_dim + c], key[c]);
  }
}

void begin(float* bounds, const float* key, int head_dim) {
  std::copy(key, key + head_dim, bounds);
  std::copy(key, key + head_dim, bounds + head_dim);
}

// The bound of one page, reduced over the group. `query` is the first of the group's.
double page_bound(const ChoosePagesArgs& args, const float* query, const float* bounds) {
  const int dim = args.shape.head_dim;
  const int group = group_of(args.shape);
  double figure = 0.0;
  for (int member = 0; member < group; ++member) {
    const double bound = upper_bound(
        query + static_cast<std::ptrdiff_t>(member) * dim, bounds, bounds + dim, size(dim));
    if (member == 0) {
      figure = bound;
    } else {
      figure = args.reduce == Reduce::kMax ? larger(figure, bound) : figure + bound;
    }
  }
  return args.reduce == Reduce::kMean ? figure / group : figure;
}

void choose_pages_of_head(const ChoosePagesArgs& args, int index, Pieces pieces) {
  const HeadShape& shape = args.shape;
  const KvHead head = kv_head_at(shape, index);
  const int pages = (args.heads[index].entries + args.page - 1) / args.page;
  auto* const figures = pieces.take<double>(size(pages));
  const float* const query = row_of(static_cast<const float*>(args.query),
                                    shape,
                                    head.row,
                                    head.kv_head * group_of(shape),
                                    shape.head_dim);
  const std::int64_t width = std::int64_t{2} * shape.head_dim;
  const float* const bounds = args.bounds + index * args.all_pages * width;
  for (int page = 0; page < pages - 1; ++page) {
    figures[page] = page_bound(args, query, bounds + page * width);
  }
  figures[pages - 1] = kInfinity;
  std::int32_t* out = args.pages + static_cast<std::ptrdiff_t>(index) * args.count;
  std::int32_t* const end = out + args.count;
  for_largest(
      pages,
      args.count,
      [&](int page) { return rank_of(figures[page]); },
      [&](int page) { *out++ = page; });
  std::fill(out, end, -1);
}

}  // namespace

void CpuScoring::evict(const EvictArgs& args) {
  check(args.shape);
  const int heads = args.batch * args.shape.kv_heads;
  const bool reads_rows = args.update == Update::kSum || args.update == Update::kReplace;
  KVG_EXPECT(!reads_rows || args.rows != nullptr, "the update takes the scores of attention");
  std::int32_t most = 0;
  for (int index = 0; index < heads; ++index) {
    most = std::max(most, args.heads[index].entries);
  }
  const Tiles tiles(scratch_, reads_rows ? step_tile_floats(size(most)) : 0);
  team_.run(heads, [&](int index, int thread) {
    const Eviction eviction(args, index);
    eviction.enter(tiles.of(thread));
    eviction.move();
  });
}

void CpuScoring::page_bounds(const PageBoundsArgs& args) {
  check(args.from);
  const int dim = args.shape.head_dim;
  const int heads = args.batch * args.shape.kv_heads;
  const auto keys_of = [&](int index) {
    const KvHead head = kv_head_at(args.shape, index);
    return entries_of(args.from.keys, args.from, head.row, head.kv_head);
  };
  if (args.heads != nullptr) {
    for (int index = 0; index < heads; ++index) {
      const std::int32_t entry = args.heads[index].entries - 1;
      float* const bounds = bounds_of(args, index, entry / args.page);
      if (entry % args.page == 0) {
        begin(bounds, keys_of(index), dim);
      } else {
        include(bounds, keys_of(index), dim);
      }
    }
    return;
  }
  KVG_EXPECT(args.keys <= args.pages * args.page, "every token has a page");
  team_.run(heads, [&](int index, int) {
    for (int key = 0; key < args.keys; ++key) {
      float* const bounds = bounds_of(args, index, key / args.page);
      const float* const at = keys_of(index) + static_cast<std::ptrdiff_t>(key) * dim;
      if (key % args.page == 0) {
        begin(bounds, at, dim);
      } else {
        include(bounds, at, dim);
      }
    }
  });
}

void CpuScoring::choose_pages(const ChoosePagesArgs& args) {
  check(args.shape);
  KVG_EXPECT(args.reduce != Reduce::kAll && args.count > 0,
             "pages are reduced over the group, and the newest is among them");
  const Tiles tiles(scratch_, step_tile_floats(size(args.all_pages)));
  team_.run(args.batch * args.shape.kv_heads,
            [&](int index, int thread) { choose_pages_of_head(args, index, tiles.of(thread)); });
}

}  // namespace kvg::kernels::cpu
