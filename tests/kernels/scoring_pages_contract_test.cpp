#include <algorithm>
#include <vector>

#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::PromptData;
using testing_support::Values;

// Pages of Quest.
class ScoringPagesContract : public BackendContract {
 protected:
  [[nodiscard]] Scoring& scoring() { return backend().scoring(); }

  // Bounds of a prompt's tokens in `pages` pages of every head.
  [[nodiscard]] static std::vector<float> bounds_of(const PromptData& data, int page, int pages) {
    std::vector<float> all;
    const int dim = data.shape.head_dim;
    testing_support::for_kv_heads(data, [&](int row, int kv_head) {
      for (int number = 0; number < pages; ++number) {
        for (const bool is_largest : {false, true}) {
          for (int c = 0; c < dim; ++c) {
            float bound = -7.0F;
            for (int token = number * page; token < std::min((number + 1) * page, data.tokens);
                 ++token) {
              const auto x = static_cast<float>(data.key_at(row, kv_head, token)[c]);
              const bool is_first = token == number * page;
              bound = is_first || (is_largest ? x > bound : x < bound) ? x : bound;
            }
            all.push_back(bound);
          }
        }
      }
    });
    return all;
  }

  // Pages of one head that a query chooses; -1 fills up.
  [[nodiscard]] static std::vector<std::int32_t> chosen(const PromptData& data,
                                                        int head,
                                                        const std::vector<float>& bounds,
                                                        const ChoosePagesArgs& args,
                                                        std::int32_t entries) {
    const int dim = data.shape.head_dim;
    const int pages = (entries + args.page - 1) / args.page;
    Values scores;
    for (int number = 0; number < pages; ++number) {
      const float* const low =
          bounds.data() + static_cast<std::ptrdiff_t>(head * args.all_pages + number) * 2 * dim;
      Values figures;
      for (int member = 0; member < data.group(); ++member) {
        const double* const query = data.query_at(
            head / data.shape.kv_heads, 0, head % data.shape.kv_heads * data.group() + member);
        double bound = 0.0;
        for (int c = 0; c < dim; ++c) {
          bound += std::max(query[c] * static_cast<double>(low[c]),
                            query[c] * static_cast<double>(low[dim + c]));
        }
        figures.push_back(bound);
      }
      scores.push_back(testing_support::reduced(figures, args.reduce));
    }
    scores.back() = kInfinity;
    std::vector<std::int32_t> kept = testing_support::largest(scores, args.count);
    kept.resize(as_size(args.count), -1);
    return kept;
  }
};

TEST_P(ScoringPagesContract, BoundsMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    for (const int page : {16, 5}) {
      const int pages = of.tokens / page + 2;
      const std::vector<float> want = bounds_of(prompt.data(), page, pages);
      const PoolArray<float> bounds(backend(), std::vector<float>(want.size(), -7.0F));
      scoring().page_bounds({.bounds = bounds.data(),
                             .pages = pages,
                             .page = page,
                             .from = prompt.view(),
                             .keys = of.tokens,
                             .shape = of.shape(),
                             .batch = of.batch});
      EXPECT_EQ(bounds.read(), want) << of.text();
    }
  }
}

TEST_P(ScoringPagesContract, BoundsGrowWithSteps) {
  const PromptCase of = {.group = 2, .head_dim = 80, .batch = 3, .tokens = 37};
  const Prompt prompt(backend(), of);
  const std::vector<float> want = bounds_of(prompt.data(), 16, 3);
  const PoolArray<float> bounds(backend(), std::vector<float>(want.size(), -7.0F));
  for (std::int32_t token = 0; token < of.tokens; ++token) {
    const PoolArray<HeadCursor> heads(
        backend(), std::vector<HeadCursor>(6, {.entries = token + 1, .slot = token}));
    KvView newest = prompt.view();
    newest.keys =
        static_cast<std::byte*>(newest.keys) + as_size(token * of.head_dim) * size_of(newest.dtype);
    scoring().page_bounds({.bounds = bounds.data(),
                           .pages = 3,
                           .page = 16,
                           .from = newest,
                           .heads = heads.data(),
                           .shape = of.shape(),
                           .batch = of.batch});
    backend().synchronize();
  }
  EXPECT_EQ(bounds.read(), want);
}

TEST_P(ScoringPagesContract, ChosenPagesMatchTheFormula) {
  for (const PromptCase& of : prompt_cases()) {
    const Prompt prompt(backend(), of);
    const PromptData& data = prompt.data();
    const int pages = of.tokens / 16 + 1;
    const std::vector<float> bounds = bounds_of(data, 16, pages);
    const PoolArray<float> bound_array(backend(), bounds);
    // The queries of the first token of every row.
    std::vector<double> query;
    for (int row = 0; row < of.batch; ++row) {
      const double* const at = data.query_at(row, 0, 0);
      query.insert(query.end(), at, at + of.shape().heads * of.head_dim);
    }
    const DeviceArray query_array(backend(), query, compute());
    std::vector<HeadCursor> cursors;
    cursors.reserve(as_size(of.batch * of.kv_heads));
    for (int head = 0; head < of.batch * of.kv_heads; ++head) {
      cursors.push_back({.entries = std::max(of.tokens - 17 * head, 1)});
    }
    const PoolArray<HeadCursor> heads(backend(), cursors);
    for (const Reduce reduce : {Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
      for (const int count : {1, 3, 8}) {
        const PoolArray<std::int32_t> out(
            backend(), std::vector<std::int32_t>(cursors.size() * as_size(count)));
        const ChoosePagesArgs args = {.pages = out.data(),
                                      .count = count,
                                      .bounds = bound_array.data(),
                                      .all_pages = pages,
                                      .page = 16,
                                      .query = query_array.data(),
                                      .heads = heads.data(),
                                      .shape = of.shape(),
                                      .batch = of.batch,
                                      .reduce = reduce};
        scoring().choose_pages(args);
        std::vector<std::int32_t> want;
        for (std::size_t head = 0; head < cursors.size(); ++head) {
          const auto one =
              chosen(data, static_cast<int>(head), bounds, args, cursors[head].entries);
          want.insert(want.end(), one.begin(), one.end());
        }
        EXPECT_EQ(out.read(), want) << of.text() << ", " << count << " pages";
      }
    }
  }
}

TEST_P(ScoringPagesContract, EqualPagesGoToTheNewer) {
  const PromptCase of = {.group = 1, .head_dim = 64, .tokens = 80, .kv_heads = 1};
  const Prompt prompt(backend(), of);
  const PoolArray<float> bounds(backend(), std::vector<float>(std::size_t{5} * 2 * 64, 0.5F));
  const PoolArray<HeadCursor> heads(backend(), {{.entries = 65}});
  const PoolArray<std::int32_t> pages(backend(), std::vector<std::int32_t>(3));
  scoring().choose_pages({.pages = pages.data(),
                          .count = 3,
                          .bounds = bounds.data(),
                          .all_pages = 5,
                          .page = 16,
                          .query = prompt.all().query,
                          .heads = heads.data(),
                          .shape = of.shape(),
                          .batch = 1});
  EXPECT_EQ(pages.read(), (std::vector<std::int32_t>{2, 3, 4}));
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringPagesContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
