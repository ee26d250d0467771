#include <vector>

#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::PromptData;
using testing_support::Values;

// What is observed of a prompt.
class ScoringObserveContract : public BackendContract {
 protected:
  [[nodiscard]] Scoring& scoring() { return backend().scoring(); }

  [[nodiscard]] Values column_sums(const Prompt& prompt, Reduce reduce, int chunk) {
    const PoolArray<double> out(backend(), unwritten(prompt.score_count()));
    scoring().clear(out.data(), prompt.score_count() * sizeof(double));
    const auto add = [&](const QueryChunk& of) {
      scoring().column_sums({.out = out.data(),
                             .chunk = of,
                             .kv = prompt.view(of.first_row),
                             .keys = prompt.data().tokens,
                             .scale = prompt.scale(),
                             .reduce = reduce});
    };
    if (chunk == 0) {
      add(prompt.all());
    } else {
      prompt.in_chunks(chunk, add);
    }
    return out.read();
  }

  [[nodiscard]] testing_support::Moments moments(const Prompt& prompt,
                                                 const Turn& turn,
                                                 int skip,
                                                 int chunk) {
    const auto dim = as_size(prompt.data().shape.head_dim);
    const auto heads = as_size(prompt.data().batch * prompt.data().shape.heads);
    const PoolArray<double> sums(backend(), std::vector<double>(heads * dim));
    const PoolArray<double> products(backend(), std::vector<double>(heads * dim * dim));
    const auto add = [&](const QueryChunk& of) {
      scoring().moments({.sums = sums.data(),
                         .products = products.data(),
                         .chunk = of,
                         .turn = turn,
                         .skip = skip});
    };
    if (chunk == 0) {
      add(prompt.all());
    } else {
      prompt.in_chunks(chunk, add);
    }
    return {.sums = sums.read(), .products = products.read()};
  }

  // The window's queries, cut out of chunks of `chunk` tokens; NaN where there are none.
  [[nodiscard]] DeviceArray kept_queries(const Prompt& prompt, int window, int chunk) {
    const PromptData& data = prompt.data();
    DeviceArray kept(backend(),
                     as_size(data.batch * window * data.shape.heads * data.shape.head_dim),
                     compute());
    prompt.in_chunks(chunk, [&](const QueryChunk& of) {
      scoring().keep_queries(
          {.out = kept.data(), .chunk = of, .window = window, .keys = data.tokens});
    });
    return kept;
  }

  [[nodiscard]] Values window_rows(const Prompt& prompt,
                                   const DeviceArray& query,
                                   int window,
                                   bool logits) {
    const PromptData& data = prompt.data();
    const int rows = logits ? window * data.shape.kv_heads : data.shape.heads;
    const PoolArray<float> out(
        backend(), std::vector<float>(as_size(data.batch * rows * data.tokens), std::nanf("")));
    scoring().window_rows({.out = out.data(),
                           .query = query.data(),
                           .kv = prompt.view(),
                           .window = window,
                           .keys = data.tokens,
                           .shape = data.shape,
                           .batch = data.batch,
                           .scale = prompt.scale(),
                           .logits = logits});
    return widened(out.read());
  }
};

TEST_P(ScoringObserveContract, ColumnSumsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const Reduce reduce : {Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
      const Values want = testing_support::column_sums(prompt.data(), reduce);
      expect_scores(column_sums(prompt, reduce, 0), want, of.text());
    }
  }
}

TEST_P(ScoringObserveContract, ColumnSumsInChunksAreThoseAtOnce) {
  const Prompt prompt(backend(), {.group = 4, .head_dim = 64, .batch = 3, .tokens = 300});
  for (const Reduce reduce : {Reduce::kSum, Reduce::kMax}) {
    const Values want = column_sums(prompt, reduce, 0);
    for (const int chunk : {128, 37, 300}) {
      expect_scores(column_sums(prompt, reduce, chunk), want, "chunk " + std::to_string(chunk));
    }
  }
}

TEST_P(ScoringObserveContract, ColumnSumsOfEqualKeysAreHarmonic) {
  // Token t sees its t + 1 keys alike: column j gets 1 / (j + 1) + .. + 1 / n of every head.
  const PromptCase of = {.group = 2, .head_dim = 64, .batch = 1, .tokens = 5, .kv_heads = 1};
  const Values keys(std::size_t{5} * 64, 0.5);
  const Prompt prompt(
      backend(),
      PromptData{.shape = of.shape(),
                 .batch = 1,
                 .tokens = 5,
                 .query = testing_support::rounded(
                     testing_support::random_values(std::size_t{5} * 2 * 64, 3), compute()),
                 .keys = keys,
                 .values = keys});
  Values want(5);
  for (int j = 0; j < 5; ++j) {
    for (int t = j; t < 5; ++t) {
      want[as_size(j)] += 2.0 / (t + 1);
    }
  }
  expect_scores(column_sums(prompt, Reduce::kSum, 0), want, "equal keys");
}

TEST_P(ScoringObserveContract, ColumnSumsRepeatBitForBit) {
  const Prompt prompt(backend(), {.group = 4, .head_dim = 128, .batch = 3, .tokens = 300});
  for (const int chunk : {0, 64}) {
    const Values first = column_sums(prompt, Reduce::kSum, chunk);
    for (int again = 0; again < 5; ++again) {
      EXPECT_EQ(column_sums(prompt, Reduce::kSum, chunk), first);
    }
  }
}

TEST_P(ScoringObserveContract, MomentsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    // Part of the channels turn.
    const testing_support::RopeTable rope =
        testing_support::rope_table(of.tokens, of.head_dim / 4 / 2 * 2);
    const DeviceArray table(backend(), rope.table, DType::kF32);
    const Turn turn = {.table = table.floats(), .rotary_dim = rope.rotary_dim};
    for (const int chunk : {0, 23}) {
      const testing_support::Moments got = moments(prompt, turn, 4, chunk);
      const testing_support::Moments want = testing_support::moments(prompt.data(), rope, 4);
      expect_scores(got.sums, want.sums, of.text());
      expect_scores(got.products, want.products, of.text());
    }
  }
}

TEST_P(ScoringObserveContract, QueriesOfTheWindowAreKept) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    const PromptData& data = prompt.data();
    for (const int window : {1, 16, 64}) {
      for (const int chunk : {5, 512}) {
        const Values got = kept_queries(prompt, window, chunk).read();
        std::size_t at = 0;
        for (int row = 0; row < data.batch; ++row) {
          for (int token = data.tokens - window; token < data.tokens; ++token) {
            for (int i = 0; i < data.shape.heads * data.shape.head_dim; ++i, ++at) {
              if (token < 0) {
                EXPECT_TRUE(std::isnan(got[at])) << of.text();
              } else {
                EXPECT_EQ(got[at], data.query_at(row, token, 0)[i]) << of.text();
              }
            }
          }
        }
      }
    }
  }
}

TEST_P(ScoringObserveContract, WindowRowsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const int window : {1, 8, 70}) {
      const std::string what = of.text() + ", window " + std::to_string(window);
      const DeviceArray query = kept_queries(prompt, window, 512);
      expect_scores(window_rows(prompt, query, window, false),
                    testing_support::window_probabilities(prompt.data(), window),
                    what);
      expect_scores(window_rows(prompt, query, window, true),
                    testing_support::window_logits(prompt.data(), window),
                    what);
    }
  }
}

TEST_P(ScoringObserveContract, WindowRowsRepeatBitForBit) {
  const Prompt prompt(backend(), {.group = 4, .head_dim = 64, .batch = 3, .tokens = 300});
  const DeviceArray query = kept_queries(prompt, 32, 512);
  const Values first = window_rows(prompt, query, 32, false);
  for (int again = 0; again < 5; ++again) {
    EXPECT_EQ(window_rows(prompt, query, 32, false), first);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringObserveContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
