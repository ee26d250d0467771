#include <vector>

#include "tests/kernels/attend_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::Values;

struct PrefillCase {
  HeadShape shape;
  int batch = 1;
  int past = 0;
  int tokens = 1;

  [[nodiscard]] AttendCase cache() const {
    return {
        .shape = shape, .batch = batch, .entries = past + tokens, .capacity = past + tokens + 2};
  }
  [[nodiscard]] std::size_t query_count() const {
    return cache().query_count() * static_cast<std::size_t>(tokens);
  }
};

Values token_head(const Values& queries, const PrefillCase& params, int token, int head) {
  const auto dim = static_cast<std::ptrdiff_t>(params.shape.head_dim);
  const auto at = queries.begin() + (token * params.shape.heads + head) * dim;
  return {at, at + dim};
}

Values expected(const PrefillCase& params, const CacheData& cache, const Values& query) {
  Values all;
  for (int index = 0; index < params.batch * params.tokens; ++index) {
    const int row = index / params.tokens;
    const std::ptrdiff_t seen = std::ptrdiff_t{params.past} + index % params.tokens + 1;
    for (int head = 0; head < params.shape.heads; ++head) {
      const int kv_head = head / (params.shape.heads / params.shape.kv_heads);
      const Values one_query = token_head(query, params, index, head);
      const Values keys = cache.keys(row, kv_head);
      const Values values = cache.values(row, kv_head);
      const std::ptrdiff_t count = seen * params.shape.head_dim;
      const Values one = testing_support::attended(
          {.queries = std::vector<const Values*>(static_cast<std::size_t>(seen), &one_query),
           .keys = {keys.begin(), keys.begin() + count},
           .values = {values.begin(), values.begin() + count},
           .scale = params.cache().scale()});
      all.insert(all.end(), one.begin(), one.end());
    }
  }
  return all;
}

class PrefillContract : public BackendContract {
 protected:
  Values run(const PrefillCase& params, const CacheData& cache, const Values& query) {
    const DeviceArray query_array(backend(), query, compute());
    const DeviceArray out(backend(), params.query_count(), compute());
    WorkspaceShape workspace = params.cache().workspace();
    workspace.rows = params.batch * params.tokens;
    backend().reserve_workspace(workspace);
    backend().prefill_attend({.out = out.data(),
                              .query = query_array.data(),
                              .kv = cache.view(),
                              .past = params.past,
                              .tokens = params.tokens,
                              .shape = params.shape,
                              .batch = params.batch,
                              .scale = static_cast<float>(params.cache().scale())});
    return out.read();
  }

  void check(const PrefillCase& params) {
    const CacheData cache(backend(), params.cache(), 200);
    const Values query = testing_support::rounded(
        testing_support::random_values(params.query_count(), 3), compute());
    expect_close(run(params, cache, query),
                 expected(params, cache, query),
                 params.cache().text() + ", past " + std::to_string(params.past));
  }
};

TEST_P(PrefillContract, MatchesTheFormula) {
  for (const int head_dim : {64, 80, 96, 128, 256}) {
    for (const int group : {1, 2, 4, 7}) {
      for (const int tokens : {1, 37, 131}) {
        check({.shape = {.heads = 2 * group, .kv_heads = 2, .head_dim = head_dim},
               .batch = tokens == 37 && group == 2 ? 3 : 1,
               .past = 0,
               .tokens = tokens});
      }
    }
  }
}

TEST_P(PrefillContract, ChunksSeeThePast) {
  for (const int past : {1, 63, 64, 100}) {
    for (const int tokens : {1, 64, 65}) {
      check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
             .batch = 2,
             .past = past,
             .tokens = tokens});
    }
  }
}

TEST_P(PrefillContract, LongPrompt) {
  check({.shape = {.heads = 2, .kv_heads = 1, .head_dim = 128}, .past = 0, .tokens = 1002});
}

// The later half of a prompt as a chunk of its own against the prompt at once.
TEST_P(PrefillContract, ChunkedEqualsOneShot) {
  const HeadShape shape = {.heads = 4, .kv_heads = 2, .head_dim = 64};
  const PrefillCase whole = {.shape = shape, .past = 0, .tokens = 200};
  const PrefillCase later = {.shape = shape, .past = 73, .tokens = 127};
  const CacheData cache(backend(), whole.cache(), 200);
  const Values query =
      testing_support::rounded(testing_support::random_values(whole.query_count(), 3), compute());
  const auto skipped = static_cast<std::ptrdiff_t>(whole.cache().width()) * later.past;
  const Values all = run(whole, cache, query);
  const Values part = run(later, cache, {query.begin() + skipped, query.end()});
  expect_close(part, {all.begin() + skipped, all.end()}, "chunk after 73 tokens");
}

TEST_P(PrefillContract, TheFutureDoesNotMatter) {
  const PrefillCase whole = {
      .shape = {.heads = 4, .kv_heads = 2, .head_dim = 64}, .past = 0, .tokens = 96};
  PrefillCase shorter = whole;
  shorter.tokens = 41;
  const CacheData cache(backend(), whole.cache(), 200);
  const Values query = testing_support::random_values(whole.query_count(), 3);
  const auto count = static_cast<std::ptrdiff_t>(shorter.query_count());
  const Values all = run(whole, cache, query);
  const Values part = run(shorter, cache, {query.begin(), query.begin() + count});
  expect_close({all.begin(), all.begin() + count}, part, "first 41 of 96 tokens");
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         PrefillContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
