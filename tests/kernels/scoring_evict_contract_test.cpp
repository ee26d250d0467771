#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/hash.h"
#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::Values;

// How a cache evicts, and how large it is.
struct EvictCase {
  const char* name = "";
  Update update = Update::kSum;
  Reduce reduce = Reduce::kSum;
  bool by_age = false;
  std::int32_t recent = 1;
  int budget = 32;
  int steps = 300;
  HeadShape shape = {.heads = 6, .kv_heads = 2, .head_dim = 64};
  int batch = 2;
};

// scale x query . key of the query at `newest` and the entry of `position`.
float logit(int row, int head, std::int32_t newest, std::int32_t position) {
  const RandomKey key = {.seed = static_cast<std::uint64_t>(newest),
                         .layer = row,
                         .kv_head = head,
                         .position = position};
  return static_cast<float>(6.0 * random_score(key) - 3.0);
}

struct Entry {
  std::int32_t position = 0;
  double score = 0.0;
};

// One kv_head that closes the gap when an entry leaves, so that entries lie in order of age: the
// loop of the oracles' decode().
class Compacting {
 public:
  Compacting(const EvictCase& of, int row, int kv_head) : of_(of), row_(row), kv_head_(kv_head) {}

  void step(std::int32_t newest) {
    entries_.push_back({.position = newest});
    score(newest);
    if (static_cast<int>(entries_.size()) > of_.budget) {
      entries_.erase(entries_.begin() + leaving(newest));
    }
  }

  [[nodiscard]] std::vector<std::int32_t> positions() const {
    std::vector<std::int32_t> all;
    for (const Entry& entry : entries_) {
      all.push_back(entry.position);
    }
    return all;
  }
  [[nodiscard]] double score_of(std::int32_t position) const {
    return std::find_if(entries_.begin(),
                        entries_.end(),
                        [&](const Entry& entry) { return entry.position == position; })
        ->score;
  }

 private:
  [[nodiscard]] Values probabilities(int head, std::int32_t newest) const {
    Values logits;
    for (const Entry& entry : entries_) {
      logits.push_back(static_cast<double>(logit(row_, head, newest, entry.position)));
    }
    return testing_support::softmax(logits);
  }

  void score(std::int32_t newest) {
    const int group = of_.shape.heads / of_.shape.kv_heads;
    const bool is_all = of_.reduce == Reduce::kAll;
    std::vector<Values> rows;
    for (int head = is_all ? 0 : kv_head_ * group;
         head < (is_all ? of_.shape.heads : (kv_head_ + 1) * group);
         ++head) {
      rows.push_back(probabilities(head, newest));
    }
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Values figures;
      for (const Values& one : rows) {
        figures.push_back(one[i]);
      }
      const double figure = testing_support::reduced(figures, of_.reduce);
      if (of_.update == Update::kSum) {
        entries_[i].score += figure;
      } else if (of_.update == Update::kReplace) {
        entries_[i].score = figure;
      }
    }
    if (of_.update == Update::kRandom) {
      entries_.back().score =
          random_score({.seed = 9, .layer = 4, .kv_head = kv_head_, .position = newest});
    } else if (of_.update == Update::kNone) {
      entries_.back().score = kInfinity;
    }
  }

  [[nodiscard]] std::ptrdiff_t leaving(std::int32_t newest) const {
    const std::int32_t recent = of_.recent == kHalfOfBudget ? of_.budget / 2 : of_.recent;
    const auto count = static_cast<std::int32_t>(entries_.size());
    std::ptrdiff_t lowest = 0;
    double score = kInfinity;
    for (std::int32_t i = 0; i < count - recent; ++i) {
      const Entry& entry = entries_[as_size(i)];
      const double own = of_.by_age ? entry.score / (newest - entry.position + 1) : entry.score;
      if (own < score) {
        lowest = i;
        score = own;
      }
    }
    return lowest;
  }

  const EvictCase& of_;
  int row_;
  int kv_head_;
  std::vector<Entry> entries_;
};

class ScoringEvictContract : public BackendContract {
 protected:
  // The cache on the device, whose slots the test knows from the cursors.
  struct Cache {
    Cache(Backend& backend, const EvictCase& of)
        : heads(backend, first_cursors(of)),
          scores(backend, unwritten(slot_count(of))),
          positions(backend, std::vector<std::int32_t>(slot_count(of), -1)),
          rows(backend, std::vector<float>(row_count(of), std::nanf(""))),
          cursor(backend, std::vector<StepCursor>(1)) {}

    static std::size_t slot_count(const EvictCase& of) {
      return as_size(of.batch * of.shape.kv_heads) * as_size(of.budget + 3);
    }
    static std::size_t row_count(const EvictCase& of) {
      return as_size(of.batch * of.shape.heads) * as_size(of.budget + 2);
    }
    static std::vector<HeadCursor> first_cursors(const EvictCase& of) {
      std::vector<HeadCursor> cursors;
      cursors.reserve(as_size(of.batch * of.shape.kv_heads));
      for (int i = 0; i < of.batch * of.shape.kv_heads; ++i) {
        cursors.push_back(
            {.start = i % of.shape.kv_heads * (of.budget + 3) + 1, .limit = of.budget + 1});
      }
      return cursors;
    }

    PoolArray<HeadCursor> heads;
    PoolArray<double> scores;
    PoolArray<std::int32_t> positions;
    PoolArray<float> rows;
    PoolArray<StepCursor> cursor;
  };

  [[nodiscard]] EvictArgs args_of(const EvictCase& of, const Cache& cache) const {
    return {.cursor = cache.cursor.data(),
            .heads = cache.heads.data(),
            .scores = cache.scores.data(),
            .positions = cache.positions.data(),
            .slots = of.shape.kv_heads * (of.budget + 3),
            .rows = cache.rows.data(),
            .capacity = of.budget + 2,
            .shape = of.shape,
            .batch = of.batch,
            .update = of.update,
            .reduce = of.reduce,
            .by_age = of.by_age,
            .recent = of.recent,
            .seed = 9,
            .layer = 4};
  }

  // Logits of the entries that the slots hold; NaN behind them.
  static std::vector<float> rows_of(const EvictCase& of,
                                    const std::vector<std::vector<std::int32_t>>& held,
                                    std::int32_t newest) {
    std::vector<float> rows(Cache::row_count(of), std::nanf(""));
    const int group = of.shape.heads / of.shape.kv_heads;
    for (int index = 0; index < of.batch * of.shape.heads; ++index) {
      const int row = index / of.shape.heads;
      const int head = index % of.shape.heads;
      const auto& slots = held[as_size(row * of.shape.kv_heads + head / group)];
      for (std::size_t slot = 0; slot < slots.size(); ++slot) {
        rows[as_size(index) * as_size(of.budget + 2) + slot] =
            logit(row, head, newest, slots[slot]);
      }
    }
    return rows;
  }

  // Drives a cache and its compacting double through all steps.
  void drive(const EvictCase& of) {
    const auto workspace = backend().make_workspace({.batch = of.batch,
                                                     .rows = of.batch,
                                                     .hidden = 64,
                                                     .features = 64,
                                                     .heads = of.shape,
                                                     .entries = of.budget + 1,
                                                     .scored_slots = of.budget + 1});
    Cache cache(backend(), of);
    std::vector<Compacting> doubles;
    doubles.reserve(as_size(of.batch * of.shape.kv_heads));
    for (int index = 0; index < of.batch * of.shape.kv_heads; ++index) {
      doubles.emplace_back(of, index / of.shape.kv_heads, index % of.shape.kv_heads);
    }
    std::vector<std::vector<std::int32_t>> held(doubles.size());
    std::vector<HeadCursor> heads = cache.heads.read();
    for (std::int32_t newest = 0; newest < of.steps && !HasFailure(); ++newest) {
      for (std::size_t head = 0; head < held.size(); ++head) {
        held[head].resize(as_size(heads[head].entries));
        held[head][as_size(heads[head].slot)] = newest;
        doubles[head].step(newest);
      }
      cache.rows.write(rows_of(of, held, newest));
      cache.cursor.write({{.position = newest}});
      backend().scoring().evict(args_of(of, cache));
      heads = cache.heads.read();
      compare(of, cache, held, heads, doubles);
    }
  }

  static void compare(const EvictCase& of,
                      const Cache& cache,
                      const std::vector<std::vector<std::int32_t>>& held,
                      const std::vector<HeadCursor>& heads,
                      const std::vector<Compacting>& doubles) {
    const std::vector<double> scores = cache.scores.read();
    const std::vector<std::int32_t> positions = cache.positions.read();
    for (std::size_t head = 0; head < held.size(); ++head) {
      const bool is_full = static_cast<int>(held[head].size()) > of.budget;
      ASSERT_EQ(heads[head].entries,
                static_cast<std::int32_t>(held[head].size()) + (is_full ? 0 : 1));
      std::vector<std::int32_t> staying;
      const auto row = static_cast<std::int64_t>(head) / of.shape.kv_heads;
      for (std::size_t slot = 0; slot < held[head].size(); ++slot) {
        const auto at =
            as_size(row * of.shape.kv_heads * (of.budget + 3) + heads[head].start) + slot;
        EXPECT_EQ(positions[at], held[head][slot]) << of.name;
        if (static_cast<std::int32_t>(slot) == heads[head].slot) {
          continue;  // it leaves
        }
        staying.push_back(held[head][slot]);
        const double want = doubles[head].score_of(held[head][slot]);
        // Sums of hundreds of probabilities in double.
        EXPECT_TRUE(scores[at] == want || std::fabs(scores[at] - want) <= 1e-12 * want) << of.name;
      }
      std::sort(staying.begin(), staying.end());
      ASSERT_EQ(staying, doubles[head].positions()) << of.name << ", head " << head;
    }
  }
};

TEST_P(ScoringEvictContract, FollowsTheCompactingLoop) {
  const HeadShape alone = {.heads = 2, .kv_heads = 2, .head_dim = 64};
  const HeadShape wide = {.heads = 4, .kv_heads = 1, .head_dim = 64};
  for (const EvictCase& of : std::vector<EvictCase>{
           {.name = "h2o", .recent = kHalfOfBudget, .steps = 500},
           {.name = "h2o, a small budget", .recent = kHalfOfBudget, .budget = 5, .shape = alone},
           {.name = "h2o, the mean by age", .reduce = Reduce::kMean, .by_age = true, .recent = 8},
           {.name = "h2o, the largest", .reduce = Reduce::kMax, .recent = 4, .shape = wide},
           {.name = "tova", .update = Update::kReplace, .reduce = Reduce::kAll, .steps = 500},
           {.name = "tova of groups", .update = Update::kReplace, .reduce = Reduce::kMean},
           {.name = "random", .update = Update::kRandom, .recent = 0},
           {.name = "scores that stay", .update = Update::kNone, .steps = 80},
           {.name = "one entry", .recent = 0, .budget = 1, .steps = 40, .batch = 1},
           {.name = "longer", .recent = kHalfOfBudget, .budget = 300, .steps = 400, .batch = 1}}) {
    drive(of);
  }
}

TEST_P(ScoringEvictContract, TiesGoToTheNewer) {
  // Slots are not in order of age: of the equal scores the position 3 is the oldest.
  const PoolArray<HeadCursor> heads(backend(), {{.start = 0, .limit = 5, .entries = 5, .slot = 2}});
  const PoolArray<double> scores(backend(), {2.0, 1.0, kInfinity, 1.0, 1.0});
  const PoolArray<std::int32_t> positions(backend(), {2, 7, 0, 3, 5});
  const PoolArray<StepCursor> cursor(backend(), {{.position = 9}});
  const EvictArgs args = {.cursor = cursor.data(),
                          .heads = heads.data(),
                          .scores = scores.data(),
                          .positions = positions.data(),
                          .slots = 5,
                          .shape = {.heads = 1, .kv_heads = 1, .head_dim = 64},
                          .batch = 1,
                          .update = Update::kGiven};
  backend().scoring().evict(args);
  EXPECT_EQ(heads.read()[0].slot, 3);
  EXPECT_EQ(heads.read()[0].entries, 5);
  EXPECT_EQ(positions.read(), (std::vector<std::int32_t>{2, 7, 9, 3, 5}));
  EXPECT_EQ(scores.read(), (Values{2.0, 1.0, kInfinity, 1.0, 1.0}));
}

TEST_P(ScoringEvictContract, TheNewestStayWhileOthersRemain) {
  const auto leaves = [&](std::int32_t recent) {
    const PoolArray<HeadCursor> heads(backend(),
                                      {{.start = 0, .limit = 4, .entries = 4, .slot = 3}});
    const PoolArray<double> scores(backend(), {5.0, 4.0, 1.0, 0.5});
    const PoolArray<std::int32_t> positions(backend(), {0, 1, 2, -1});
    const PoolArray<StepCursor> cursor(backend(), {{.position = 3}});
    backend().scoring().evict({.cursor = cursor.data(),
                               .heads = heads.data(),
                               .scores = scores.data(),
                               .positions = positions.data(),
                               .slots = 4,
                               .shape = {.heads = 1, .kv_heads = 1, .head_dim = 64},
                               .batch = 1,
                               .update = Update::kGiven,
                               .recent = recent});
    return heads.read()[0].slot;
  };
  EXPECT_EQ(leaves(0), 3);
  EXPECT_EQ(leaves(1), 2);
  EXPECT_EQ(leaves(2), 1);
  EXPECT_EQ(leaves(4), 3) << "all are recent";
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringEvictContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
