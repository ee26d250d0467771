#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/scoring.h"
#include "kernels/cpu/scoring_prompt.h"
#include "kernels/cpu/scoring_scratch.h"
#include "kernels/cpu/scoring_select.h"

namespace kvg::kernels::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The scores as they are compared, of one kv_head of a row or of all one behind the other.
struct Ranks {
  const ChooseArgs& args;
  const double* scores = nullptr;

  [[nodiscard]] std::uint64_t operator()(int i) const {
    const int position = i % args.keys;
    if (position >= args.keys - args.recent) {
      return rank_of(kInfinity);
    }
    return rank_of(args.by_age ? scores[i] / (args.keys - position) : scores[i]);
  }
};

// Takes down what a head keeps, in ascending order.
class Keeper {
 public:
  Keeper(const ChooseArgs& args, int index, std::int32_t start)
      : scores_(args.scores + static_cast<std::ptrdiff_t>(index) * args.keys),
        kept_(args.kept + index * args.kept_stride) {
    if (args.slot_scores != nullptr) {
      const std::int64_t at = index / args.kv_heads * args.slots + start;
      slot_scores_ = args.slot_scores + at;
      slot_positions_ = args.slot_positions + at;
    }
  }

  void keep(int position) {
    kept_[count_] = position;
    if (slot_scores_ != nullptr) {
      slot_scores_[count_] = scores_[position];
      slot_positions_[count_] = position;
    }
    ++count_;
  }

  void finish(HeadCursor& head) const {
    head.entries = count_;
    head.slot = count_ - 1;
  }

 private:
  const double* scores_;
  std::int32_t* kept_;
  double* slot_scores_ = nullptr;
  std::int32_t* slot_positions_ = nullptr;
  std::int32_t count_ = 0;
};

void choose_alone(const ChooseArgs& args, int index) {
  const int count = args.counts == nullptr ? args.count : args.counts[index % args.kv_heads];
  const Ranks ranks = {.args = args,
                       .scores = args.scores + static_cast<std::ptrdiff_t>(index) * args.keys};
  Keeper keeper(args, index, args.heads[index].start);
  for_largest(args.keys, count, ranks, [&](int position) { keeper.keep(position); });
  keeper.finish(args.heads[index]);
}

// The last of the equals that stay: newer positions stay, and at `position` the kv_heads up to
// `kv_head`.
struct LastEqual {
  int position = 0;
  int kv_head = -1;
};

LastEqual last_equal(const ChooseArgs& args, const Ranks& ranks, const Cut& cut) {
  int left = cut.equals;
  for (int position = args.keys - 1; position >= 0; --position) {
    for (int kv_head = 0; kv_head < args.kv_heads; ++kv_head) {
      left -= ranks(kv_head * args.keys + position) == cut.rank ? 1 : 0;
      if (left == 0) {
        return {.position = position, .kv_head = kv_head};
      }
    }
  }
  return {};
}

void choose_together(const ChooseArgs& args, int row) {
  const int width = args.kv_heads * args.keys;
  const int first = row * args.kv_heads;
  const Ranks ranks = {.args = args,
                       .scores = args.scores + static_cast<std::ptrdiff_t>(row) * width};
  const Cut cut = cut_of(width, std::min(args.kv_heads * args.count, width), ranks);
  const LastEqual last = last_equal(args, ranks, cut);
  std::int32_t start = 0;
  for (int kv_head = 0; kv_head < args.kv_heads; ++kv_head) {
    Keeper keeper(args, first + kv_head, start);
    for (int position = 0; position < args.keys; ++position) {
      const std::uint64_t rank = ranks(kv_head * args.keys + position);
      const bool is_new_enough =
          position > last.position || (position == last.position && kv_head <= last.kv_head);
      if (rank > cut.rank || (rank == cut.rank && is_new_enough)) {
        keeper.keep(position);
      }
    }
    HeadCursor& head = args.heads[first + kv_head];
    keeper.finish(head);
    head.start = start;
    head.limit = head.entries + args.slack;
    start += (head.limit + args.align - 1) / args.align * args.align;
  }
}

// out[c] += the squares of `count` vectors, `stride` apart.
void add_squares(double* out, const float* in, int count, std::int64_t stride, int dim) {
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < dim; ++c) {
      const auto x = static_cast<double>(in[i * stride + c]);
      out[c] += x * x;
    }
  }
}

void choose_channels_of_head(const ChannelArgs& args, int index, Pieces pieces) {
  const HeadShape& shape = args.shape;
  const KvHead head = kv_head_at(shape, index);
  const int dim = shape.head_dim;
  const int group = group_of(shape);
  auto* const of_queries = pieces.take<double>(size(dim));
  auto* const of_keys = pieces.take<double>(size(dim));
  std::fill(of_queries, of_queries + dim, 0.0);
  std::fill(of_keys, of_keys + dim, 0.0);
  const int first = std::max(args.window - args.keys, 0);
  const auto* const query = static_cast<const float*>(args.query);
  for (int i = first; i < args.window; ++i) {
    const float* const of_token =
        row_of(query, shape, head.row * args.window + i, head.kv_head * group, dim);
    add_squares(of_queries, of_token, group, dim, dim);
  }
  add_squares(
      of_keys, entries_of(args.kv.keys, args.kv, head.row, head.kv_head), args.keys, dim, dim);
  for (int c = 0; c < dim; ++c) {
    of_queries[c] = of_queries[c] / ((args.window - first) * group) * (of_keys[c] / args.keys);
  }
  // From the last channel to the first, so that of equals the lower one stays.
  std::int16_t* out = args.channels + static_cast<std::ptrdiff_t>(index + 1) * args.count;
  for_largest(
      dim,
      args.count,
      [&](int i) { return rank_of(of_queries[dim - 1 - i]); },
      [&](int i) { *--out = static_cast<std::int16_t>(dim - 1 - i); });
}

}  // namespace

void CpuScoring::raise(const RaiseArgs& args) {
  team_.run(args.rows, [&](int row, int) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * args.width;
    const double* const by = args.by + at;
    double* const in = args.in + at;
    // No figure is read once one before it may have been written, so `in` may be `by`.
    for_largest(
        args.width,
        args.count,
        [&](int i) { return rank_of(by[i]); },
        [&](int i) { in[i] = kInfinity; });
  });
}

void CpuScoring::choose(const ChooseArgs& args) {
  KVG_EXPECT(!args.together || (args.counts == nullptr && args.count > 0 && args.align > 0),
             "heads that choose together share one count");
  if (args.together) {
    team_.run(args.batch, [&](int row, int) { choose_together(args, row); });
    return;
  }
  team_.run(args.batch * args.kv_heads, [&](int index, int) { choose_alone(args, index); });
}

void CpuScoring::choose_channels(const ChannelArgs& args) {
  check(args.shape);
  check(args.kv);
  KVG_EXPECT(args.count > 0 && args.count <= args.shape.head_dim, "some of the channels");
  const Tiles tiles(scratch_, entry_tile_floats(size(args.shape.head_dim)));
  team_.run(args.batch * args.shape.kv_heads,
            [&](int index, int thread) { choose_channels_of_head(args, index, tiles.of(thread)); });
}

}  // namespace kvg::kernels::cpu
