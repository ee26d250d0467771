#include <cmath>
#include <vector>

#include "kernels/hash.h"
#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::PromptData;
using testing_support::Values;

// The scores of a prompt's entries.
class ScoringScoresContract : public BackendContract {
 protected:
  [[nodiscard]] Scoring& scoring() { return backend().scoring(); }

  // What `work` makes of `before`.
  template <typename Work>
  [[nodiscard]] Values scored(const Prompt& prompt, const Values& before, const Work& work) {
    const PoolArray<double> out(backend(), before);
    work(prompt.scores(out));
    return out.read();
  }
  template <typename Work>
  [[nodiscard]] Values scored(const Prompt& prompt, const Work& work) {
    return scored(prompt, unwritten(prompt.score_count()), work);
  }

  // One kv_head with the keys (which are the values too) of a test.
  [[nodiscard]] Prompt prompt_of(const Values& keys, int tokens) {
    const int dim = static_cast<int>(keys.size()) / tokens;
    const PromptCase of = {.group = 1, .head_dim = dim, .tokens = tokens, .kv_heads = 1};
    return {backend(),
            PromptData{.shape = of.shape(),
                       .batch = 1,
                       .tokens = tokens,
                       .query = keys,
                       .keys = keys,
                       .values = keys}};
  }

  // `tokens` keys of 64 channels, zero but for the first ones.
  [[nodiscard]] static Values keys_of(const std::vector<Values>& first_channels) {
    Values keys;
    for (const Values& first : first_channels) {
      keys.insert(keys.end(), first.begin(), first.end());
      keys.resize((keys.size() + 63) / 64 * 64);
    }
    return keys;
  }
};

TEST_P(ScoringScoresContract, PoolMatchesTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    const Values rows =
        testing_support::random_values(as_size(of.batch * of.shape().heads * of.tokens), 5);
    const DeviceArray row_array(backend(), rows, DType::kF32);
    for (const Reduce reduce : {Reduce::kMean, Reduce::kMax, Reduce::kSum, Reduce::kAll}) {
      for (const int kernel : {1, 5, 7}) {
        const testing_support::Pooling pooling = {
            .columns = std::max(of.tokens - 8, 0), .kernel = kernel, .reduce = reduce};
        const Values got = scored(prompt, [&](const PromptScores& to) {
          scoring().pool({.to = to,
                          .rows = row_array.floats(),
                          .columns = pooling.columns,
                          .kernel = pooling.kernel,
                          .reduce = reduce});
        });
        // Sums of a few floats in double.
        expect_scores(got, testing_support::pooled(prompt.data(), rows, pooling), of.text(), 1e-14);
      }
    }
  }
}

TEST_P(ScoringScoresContract, PoolByHand) {
  const PromptCase of = {.group = 2, .head_dim = 64, .tokens = 4, .kv_heads = 1};
  const Prompt prompt(backend(), of);
  const DeviceArray rows(backend(), Values{3, 6, 9, 100, 0, 3, 0, 100}, DType::kF32);
  const auto pool = [&](Reduce reduce) {
    return scored(prompt, [&](const PromptScores& to) {
      scoring().pool(
          {.to = to, .rows = rows.floats(), .columns = 3, .kernel = 3, .reduce = reduce});
    });
  };
  EXPECT_EQ(pool(Reduce::kSum), (Values{4, 7, 6, 0}));
  EXPECT_EQ(pool(Reduce::kMean), (Values{2, 3.5, 3, 0}));
  EXPECT_EQ(pool(Reduce::kAll), (Values{2, 3.5, 3, 0}));
  EXPECT_EQ(pool(Reduce::kMax), (Values{3, 6, 5, 0}));
}

TEST_P(ScoringScoresContract, KeysAreScored) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    expect_scores(scored(prompt, [&](const PromptScores& to) { scoring().key_norms(to); }),
                  testing_support::key_norms(prompt.data()),
                  of.text());
    expect_scores(scored(prompt, [&](const PromptScores& to) { scoring().key_likeness(to); }),
                  testing_support::key_likeness(prompt.data()),
                  of.text());
  }
}

TEST_P(ScoringScoresContract, KeysByHand) {
  const Prompt prompt = prompt_of(keys_of({{3, 4}, {0, 0}, {3, 4}, {-3, -4}}), 4);
  EXPECT_EQ(scored(prompt, [&](const PromptScores& to) { scoring().key_norms(to); }),
            (Values{-5, 0, -5, -5}));
  // The unit vectors sum to one of them; a key of zeros is like nothing.
  const Values got = scored(prompt, [&](const PromptScores& to) { scoring().key_likeness(to); });
  expect_scores(got, {-1, 0, -1, 1}, "likeness");
  EXPECT_EQ(got[0], got[2]);
}

TEST_P(ScoringScoresContract, ExpectedAttentionMatchesTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const int rotary_dim : {of.head_dim, of.head_dim / 4 / 2 * 2}) {
      const testing_support::RopeTable rope =
          testing_support::rope_table(of.tokens + 512, rotary_dim);
      const DeviceArray table(backend(), rope.table, DType::kF32);
      const testing_support::Moments moments = testing_support::moments(prompt.data(), rope, 4);
      const PoolArray<double> sums(backend(), moments.sums);
      const PoolArray<double> products(backend(), moments.products);
      const Values got = scored(prompt, [&](const PromptScores& to) {
        scoring().expected({.to = to,
                            .sums = sums.data(),
                            .products = products.data(),
                            .turn = {.table = table.floats(), .rotary_dim = rotary_dim},
                            .future = 512,
                            .skip = 4});
      });
      const Values want = testing_support::expected(prompt.data(), {.rope = rope});
      expect_scores(got, want, of.text());
    }
  }
}

TEST_P(ScoringScoresContract, LagMatchesTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const int lag : {128, 8}) {
      const Values got = scored(prompt, [&](const PromptScores& to) {
        scoring().lag({.to = to, .sinks = 4, .lag = lag});
      });
      const Values want = testing_support::lag(prompt.data(), 4, lag);
      // Ranks, so that nothing but the very order gives them.
      EXPECT_EQ(got, want) << of.text() << ", lag " << lag;
    }
  }
}

TEST_P(ScoringScoresContract, LagOfConstantKeysKeepsTheOrder) {
  const Prompt prompt = prompt_of(Values(std::size_t{9} * 64, 0.5), 9);
  EXPECT_EQ(
      scored(prompt,
             [&](const PromptScores& to) { scoring().lag({.to = to, .sinks = 1, .lag = 4}); }),
      (Values{kInfinity, 0, 0.25, 0.5, 0.75, 5, 6, 7, 8}));
}

TEST_P(ScoringScoresContract, OutputNormsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const DType dtype : GetParam().weight_dtypes()) {
      const testing_support::Matrix matrix =
          testing_support::random_matrix(96, of.shape().heads * of.head_dim, false, dtype);
      const testing_support::DeviceMatrix weight(backend(), matrix, dtype);
      Values before = testing_support::random_values(prompt.score_count(), 6);
      before[prompt.score_count() / 2] = kInfinity;
      Values want = testing_support::output_norms(prompt.data(), matrix);
      for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] *= before[i] + 1e-4;
      }
      const Values got = scored(prompt, before, [&](const PromptScores& to) {
        scoring().output_norms({.to = to,
                                .weight = weight.weight.data(),
                                .dtype = dtype,
                                .hidden = 96,
                                .epsilon = 1e-4});
      });
      expect_scores(got, want, of.text());
    }
  }
}

TEST_P(ScoringScoresContract, OutputNormsLeaveInfinities) {
  const Prompt prompt = prompt_of(keys_of({{0}, {0}}), 2);
  const DeviceArray weight(backend(), Values(std::size_t{96} * 64, 1.0), compute());
  EXPECT_EQ(scored(prompt,
                   {kInfinity, 5.0},
                   [&](const PromptScores& to) {
                     scoring().output_norms(
                         {.to = to, .weight = weight.data(), .dtype = compute(), .hidden = 96});
                   }),
            (Values{kInfinity, 0.0}));
}

TEST_P(ScoringScoresContract, RandomScoresAreThoseOfTheHash) {
  const Prompt prompt(backend(), {.group = 2, .head_dim = 64, .batch = 3, .tokens = 300});
  const Values got = scored(prompt, [&](const PromptScores& to) { scoring().random(to, 42, 3); });
  for (std::size_t i = 0; i < got.size(); ++i) {
    const RandomKey key = {.seed = 42,
                           .layer = 3,
                           .kv_head = static_cast<int>(i / 300 % 2),
                           .position = static_cast<std::int32_t>(i % 300)};
    EXPECT_EQ(got[i], random_score(key));
  }
}

TEST_P(ScoringScoresContract, PositionsAgesChunksAndProtection) {
  const Prompt prompt = prompt_of(Values(std::size_t{5} * 64, 1.0), 5);
  const Values before = {10, 8, 6, 4, 2};
  EXPECT_EQ(scored(prompt, [&](const PromptScores& to) { scoring().recency(to); }),
            (Values{0, 1, 2, 3, 4}));
  EXPECT_EQ(scored(prompt, before, [&](const PromptScores& to) { scoring().by_age(to); }),
            (Values{2, 2, 2, 2, 2}));
  EXPECT_EQ(
      scored(prompt, before, [&](const PromptScores& to) { scoring().chunk_means(to, 2, 5); }),
      (Values{9, 9, 5, 5, 2}));
  EXPECT_EQ(
      scored(prompt, before, [&](const PromptScores& to) { scoring().chunk_means(to, 3, 4); }),
      (Values{8, 8, 8, 4, 2}));
  EXPECT_EQ(scored(prompt, before, [&](const PromptScores& to) { scoring().protect(to, 1, 2); }),
            (Values{kInfinity, 8, 6, kInfinity, kInfinity}));
  EXPECT_EQ(scored(prompt, before, [&](const PromptScores& to) { scoring().protect(to, 0, 0); }),
            before);
  EXPECT_EQ(scored(prompt, before, [&](const PromptScores& to) { scoring().protect(to, 9, 9); }),
            Values(5, kInfinity));
}

TEST_P(ScoringScoresContract, PlainScoresOfManyHeads) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    const Values before = testing_support::random_values(prompt.score_count(), 7);
    const auto apply = [&](const auto& work) {
      Values want = before;
      for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] = work(before, i, static_cast<int>(i % as_size(of.tokens)));
      }
      return want;
    };
    EXPECT_EQ(scored(prompt, [&](const PromptScores& to) { scoring().recency(to); }),
              apply([](const Values&, std::size_t, int key) { return double(key); }));
    EXPECT_EQ(scored(prompt, before, [&](const PromptScores& to) { scoring().by_age(to); }),
              apply([&](const Values& all, std::size_t i, int key) {
                return all[i] / (of.tokens - key);
              }));
    const Values got = scored(prompt, before, [&](const PromptScores& to) {
      scoring().chunk_means(to, 20, std::min(290, of.tokens));
    });
    const Values want = apply([&](const Values& all, std::size_t i, int key) {
      const int columns = std::min(290, of.tokens);
      if (key >= columns) {
        return all[i];
      }
      const int begin = key / 20 * 20;
      const int end = std::min(begin + 20, columns);
      double sum = 0.0;
      for (int other = begin; other < end; ++other) {
        sum += all[i - as_size(key - other)];
      }
      return sum / (end - begin);
    });
    // The order of additions is free.
    expect_scores(got, want, of.text(), 1e-14);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringScoresContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
