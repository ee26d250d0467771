#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::PromptData;
using testing_support::Values;

struct Chosen {
  std::vector<std::vector<std::int32_t>> kept;  ///< of every kv_head of every row
  std::vector<HeadCursor> heads;
  std::vector<double> slot_scores;
  std::vector<std::int32_t> slot_positions;
};

// Who stays of a prompt.
class ScoringChooseContract : public BackendContract {
 protected:
  [[nodiscard]] Scoring& scoring() { return backend().scoring(); }

  [[nodiscard]] Values raised(const Values& by, const Values& in, int rows, int count) {
    const PoolArray<double> by_array(backend(), by);
    const PoolArray<double> in_array(backend(), in);
    scoring().raise({.by = by_array.data(),
                     .in = in_array.data(),
                     .rows = rows,
                     .width = static_cast<int>(by.size()) / rows,
                     .count = count});
    return in_array.read();
  }

  // `args` without its arrays; heads start `slots / kv_heads` after each other.
  [[nodiscard]] Chosen choose(const Values& scores, ChooseArgs args) {
    const auto heads = as_size(args.batch * args.kv_heads);
    const PoolArray<double> score_array(backend(), scores);
    std::vector<HeadCursor> cursors(heads);
    for (std::size_t i = 0; i < heads; ++i) {
      cursors[i].start = static_cast<std::int32_t>(i) % args.kv_heads *
                         static_cast<std::int32_t>(args.slots / args.kv_heads);
    }
    const PoolArray<HeadCursor> head_array(backend(), cursors);
    args.kept_stride = args.keys + 3;
    const PoolArray<std::int32_t> kept(
        backend(), std::vector<std::int32_t>(heads * as_size(args.kept_stride), -7));
    const auto slots = as_size(args.batch * args.slots);
    const PoolArray<double> slot_scores(backend(), std::vector<double>(slots, -7.0));
    const PoolArray<std::int32_t> slot_positions(backend(), std::vector<std::int32_t>(slots, -7));
    args.scores = score_array.data();
    args.heads = head_array.data();
    args.kept = kept.data();
    args.slot_scores = slots == 0 ? nullptr : slot_scores.data();
    args.slot_positions = slots == 0 ? nullptr : slot_positions.data();
    scoring().choose(args);
    Chosen chosen = {.kept = {},
                     .heads = head_array.read(),
                     .slot_scores = slot_scores.read(),
                     .slot_positions = slot_positions.read()};
    const std::vector<std::int32_t> all = kept.read();
    for (std::size_t i = 0; i < heads; ++i) {
      const auto at = all.begin() + static_cast<std::ptrdiff_t>(i) * args.kept_stride;
      chosen.kept.emplace_back(at, at + chosen.heads[i].entries);
      EXPECT_EQ(chosen.heads[i].slot, chosen.heads[i].entries - 1);
    }
    return chosen;
  }

  static Values one_of(const Values& scores, std::size_t head, int keys) {
    const auto at = scores.begin() + static_cast<std::ptrdiff_t>(head) * keys;
    return {at, at + keys};
  }
};

// Random, with `levels` different values (0: no two alike), some of them infinite, some negative
// zeros.
Values scores_of(std::size_t count, std::uint32_t seed, int levels) {
  Values scores = testing_support::random_values(count, seed);
  const double half = std::floor(levels / 2.0);
  for (std::size_t i = 0; i < count && levels > 0; ++i) {
    scores[i] = std::nearbyint(scores[i] / 3.4 * levels);
    if (scores[i] == half) {
      scores[i] = kInfinity;
    }
  }
  return scores;
}

TEST_P(ScoringChooseContract, RaiseMatchesASort) {
  for (const int width : {1, 37, 1002}) {
    for (const int levels : {0, 3, 40}) {
      const Values by = scores_of(std::size_t{3} * as_size(width), 11, levels);
      const Values in = scores_of(by.size(), 12, 0);
      for (const int count : {0, 1, width / 3, width, width + 5}) {
        Values want = in;
        Values want_same = by;
        for (std::size_t row = 0; row < 3; ++row) {
          for (const std::int32_t i : testing_support::largest(one_of(by, row, width), count)) {
            const std::size_t at = row * as_size(width);
            want[at + as_size(i)] = kInfinity;
            want_same[at + as_size(i)] = kInfinity;
          }
        }
        EXPECT_EQ(raised(by, in, 3, count), want) << width << ", " << levels << ", " << count;
        const PoolArray<double> same(backend(), by);
        scoring().raise(
            {.by = same.data(), .in = same.data(), .rows = 3, .width = width, .count = count});
        EXPECT_EQ(same.read(), want_same) << width << ", " << levels << ", " << count;
      }
    }
  }
}

TEST_P(ScoringChooseContract, ChooseMatchesASort) {
  for (const int keys : {1, 37, 300, 1002}) {
    for (const int levels : {0, 1, 3, 40}) {
      const Values scores = scores_of(std::size_t{3} * 2 * as_size(keys), 13, levels);
      for (const int count : {1, keys / 4, keys, keys + 9}) {
        if (count == 0) {
          continue;
        }
        const Chosen chosen =
            choose(scores, {.keys = keys, .batch = 3, .kv_heads = 2, .count = count});
        for (std::size_t head = 0; head < 6; ++head) {
          EXPECT_EQ(chosen.kept[head], testing_support::largest(one_of(scores, head, keys), count))
              << keys << " keys, " << levels << " levels, " << count;
        }
      }
    }
  }
}

TEST_P(ScoringChooseContract, TiesGoToTheNewer) {
  EXPECT_EQ(choose(Values(5, 0.25), {.keys = 5, .batch = 1, .kv_heads = 1, .count = 2}).kept[0],
            (std::vector<std::int32_t>{3, 4}));
  EXPECT_EQ(choose({0.0, -0.0, 0.0, -1.0, 1.0}, {.keys = 5, .batch = 1, .kv_heads = 1, .count = 3})
                .kept[0],
            (std::vector<std::int32_t>{1, 2, 4}));
  // Three are protected where two can stay.
  EXPECT_EQ(choose({kInfinity, 5.0, kInfinity, kInfinity, 6.0},
                   {.keys = 5, .batch = 1, .kv_heads = 1, .count = 2})
                .kept[0],
            (std::vector<std::int32_t>{2, 3}));
}

TEST_P(ScoringChooseContract, ScoresMayBeTiny) {
  const Values scores = {-kInfinity, 5e-324, 0.0, -5e-324, -1e308, 1e308};
  const Chosen chosen = choose(scores, {.keys = 6, .batch = 1, .kv_heads = 1, .count = 3});
  EXPECT_EQ(chosen.kept[0], (std::vector<std::int32_t>{1, 2, 5}));
}

TEST_P(ScoringChooseContract, HeadsMayHaveCountsOfTheirOwn) {
  const Values scores = scores_of(std::size_t{2} * 3 * 100, 14, 0);
  const PoolArray<std::int32_t> counts(backend(), {7, 100, 31});
  const Chosen chosen =
      choose(scores, {.keys = 100, .batch = 2, .kv_heads = 3, .counts = counts.data()});
  for (std::size_t head = 0; head < 6; ++head) {
    EXPECT_EQ(chosen.kept[head],
              testing_support::largest(one_of(scores, head, 100), counts.read()[head % 3]));
  }
}

TEST_P(ScoringChooseContract, SlotsTakeScoresAsTheyAre) {
  const Values scores = {8, 1, 4, 3, 2, 1, 10, 1, 1, 1, 1, 6};
  // By age 8/6, 1/5, 1, 1, 1, .. and 10/6, .., 6: the newest of equals, and the newest two anyway.
  const Chosen chosen = choose(
      scores,
      {.keys = 6, .batch = 1, .kv_heads = 2, .count = 4, .by_age = true, .recent = 2, .slots = 10});
  EXPECT_EQ(chosen.kept[0], (std::vector<std::int32_t>{0, 3, 4, 5}));
  EXPECT_EQ(chosen.kept[1], (std::vector<std::int32_t>{0, 3, 4, 5}));
  EXPECT_EQ(chosen.slot_scores, (Values{8, 3, 2, 1, -7, 10, 1, 1, 6, -7}));
  EXPECT_EQ(chosen.slot_positions, (std::vector<std::int32_t>{0, 3, 4, 5, -7, 0, 3, 4, 5, -7}));
}

TEST_P(ScoringChooseContract, TogetherMatchesASort) {
  for (const int keys : {1, 37, 300}) {
    for (const int levels : {0, 3}) {
      for (const int kv_heads : {1, 4}) {
        const Values scores = scores_of(as_size(2 * kv_heads * keys), 15, levels);
        const int count = std::max(keys / 3, 1);
        const Chosen chosen = choose(scores,
                                     {.keys = keys,
                                      .batch = 2,
                                      .kv_heads = kv_heads,
                                      .count = count,
                                      .together = true,
                                      .slack = 5,
                                      .align = 4,
                                      .slots = kv_heads * (count + 8)});
        for (int row = 0; row < 2; ++row) {
          std::vector<std::int32_t> order(as_size(kv_heads * keys));
          std::iota(order.begin(), order.end(), 0);
          std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
            const double of_a = scores[as_size(row * kv_heads * keys + a)];
            const double of_b = scores[as_size(row * kv_heads * keys + b)];
            if (of_a != of_b) {
              return of_a > of_b;
            }
            return a % keys != b % keys ? a % keys > b % keys : a < b;
          });
          order.resize(as_size(kv_heads * count));
          std::int32_t start = 0;
          for (int kv_head = 0; kv_head < kv_heads; ++kv_head) {
            std::vector<std::int32_t> want;
            for (const std::int32_t index : order) {
              if (index / keys == kv_head) {
                want.push_back(index % keys);
              }
            }
            std::sort(want.begin(), want.end());
            const auto head = as_size(row * kv_heads + kv_head);
            EXPECT_EQ(chosen.kept[head], want) << keys << " keys, " << levels << " levels";
            EXPECT_EQ(chosen.heads[head].start, start);
            EXPECT_EQ(chosen.heads[head].limit, chosen.heads[head].entries + 5);
            for (std::size_t i = 0; i < want.size(); ++i) {
              const auto slot = as_size(row * kv_heads * (count + 8) + start) + i;
              const auto from = as_size(static_cast<int>(head) * keys + want[i]);
              EXPECT_EQ(chosen.slot_positions[slot], want[i]);
              EXPECT_EQ(chosen.slot_scores[slot], scores[from]);
            }
            start += (chosen.heads[head].limit + 3) / 4 * 4;
          }
        }
      }
    }
  }
}

TEST_P(ScoringChooseContract, TogetherProtectsInAllHeads) {
  // 4 stay of 2 x 5: the protected one of either head, then 9 and 8.
  const Values scores = {9, 8, 1, 1, kInfinity, 7, 1, 1, 1, kInfinity};
  const Chosen chosen = choose(
      scores, {.keys = 5, .batch = 1, .kv_heads = 2, .count = 2, .together = true, .slack = 1});
  EXPECT_EQ(chosen.kept[0], (std::vector<std::int32_t>{0, 1, 4}));
  EXPECT_EQ(chosen.kept[1], (std::vector<std::int32_t>{4}));
  // Equal everywhere: the newest position of both heads, then the first head's next.
  const Chosen equal =
      choose(Values(8, 1.0),
             {.keys = 2, .batch = 1, .kv_heads = 4, .count = 1, .together = true, .slack = 1});
  const Chosen odd =
      choose(Values(6, 1.0),
             {.keys = 3, .batch = 1, .kv_heads = 2, .count = 1, .together = true, .slack = 1});
  for (const auto& kept : equal.kept) {
    EXPECT_EQ(kept, (std::vector<std::int32_t>{1}));
  }
  EXPECT_EQ(odd.kept[0], (std::vector<std::int32_t>{2}));
  EXPECT_EQ(odd.kept[1], (std::vector<std::int32_t>{2}));
}

TEST_P(ScoringChooseContract, ChannelsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    const PromptData& data = prompt.data();
    for (const int window : {1, 32}) {
      const DeviceArray query(backend(),
                              Values(as_size(of.batch * window * of.shape().heads * of.head_dim)),
                              compute());
      scoring().keep_queries(
          {.out = query.data(), .chunk = prompt.all(), .window = window, .keys = of.tokens});
      for (const int count : {1, of.head_dim * 6 / 10, of.head_dim}) {
        const PoolArray<std::int16_t> channels(
            backend(), std::vector<std::int16_t>(as_size(of.batch * of.kv_heads * count)));
        scoring().choose_channels({.channels = channels.data(),
                                   .count = count,
                                   .query = query.data(),
                                   .window = window,
                                   .kv = prompt.view(),
                                   .keys = of.tokens,
                                   .shape = of.shape(),
                                   .batch = of.batch});
        EXPECT_EQ(channels.read(), testing_support::channels(data, window, count)) << of.text();
      }
    }
  }
}

TEST_P(ScoringChooseContract, EqualChannelsGoToTheLower) {
  const PromptCase of = {.group = 1, .head_dim = 64, .tokens = 3, .kv_heads = 1};
  Values ones(std::size_t{3} * 64, 1.0);
  for (std::size_t token = 0; token < 3; ++token) {
    ones[token * 64 + 9] = 2.0;
    ones[token * 64 + 1] = 0.5;
  }
  const Prompt prompt(backend(),
                      PromptData{.shape = of.shape(),
                                 .batch = 1,
                                 .tokens = 3,
                                 .query = ones,
                                 .keys = ones,
                                 .values = ones});
  const PoolArray<std::int16_t> channels(backend(), std::vector<std::int16_t>(4));
  scoring().choose_channels({.channels = channels.data(),
                             .count = 4,
                             .query = prompt.all().query,
                             .window = 3,
                             .kv = prompt.view(),
                             .keys = 3,
                             .shape = of.shape(),
                             .batch = 1});
  EXPECT_EQ(channels.read(), (std::vector<std::int16_t>{0, 2, 3, 9}));
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringChooseContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
