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
  Visibility sees{};
  bool turned = false;  ///< sinks are scored by queries of their own

  [[nodiscard]] bool visible(int position, int key) const {
    return key <= position &&
           (key < sees.sinks || std::int64_t{key} > std::int64_t{position} - sees.window);
  }
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

// The queries of a prompt: for all keys, and for sinks.
struct Queries {
  Values plain;
  Values sink;
};

Queries random_queries(const PrefillCase& params, DType compute) {
  const auto values = [&](std::uint32_t seed) {
    return testing_support::rounded(testing_support::random_values(params.query_count(), seed),
                                    compute);
  };
  return {.plain = values(3), .sink = params.turned ? values(4) : Values{}};
}

Values expected(const PrefillCase& params, const CacheData& cache, const Queries& queries) {
  Values all;
  for (int index = 0; index < params.batch * params.tokens; ++index) {
    const int row = index / params.tokens;
    const int position = params.past + index % params.tokens;
    for (int head = 0; head < params.shape.heads; ++head) {
      const int kv_head = head / (params.shape.heads / params.shape.kv_heads);
      const Values plain = token_head(queries.plain, params, index, head);
      const Values sink = params.turned ? token_head(queries.sink, params, index, head) : plain;
      const Values keys = cache.keys(row, kv_head);
      const Values values = cache.values(row, kv_head);
      testing_support::HeadAttention seen{
          .queries = {}, .keys = {}, .values = {}, .scale = params.cache().scale()};
      const auto add = [&](Values& to, const Values& from, int key) {
        const auto at = from.begin() + static_cast<std::ptrdiff_t>(key) * params.shape.head_dim;
        to.insert(to.end(), at, at + params.shape.head_dim);
      };
      for (int key = 0; key <= position; ++key) {
        if (params.visible(position, key)) {
          seen.queries.push_back(key < params.sees.sinks ? &sink : &plain);
          add(seen.keys, keys, key);
          add(seen.values, values, key);
        }
      }
      const Values one = testing_support::attended(seen);
      all.insert(all.end(), one.begin(), one.end());
    }
  }
  return all;
}

class PrefillContract : public BackendContract {
 protected:
  Values run(const PrefillCase& params, const CacheData& cache, const Queries& queries) {
    const DeviceArray query_array(backend(), queries.plain, compute());
    const DeviceArray sink_array(backend(), queries.sink, compute());
    const DeviceArray out(backend(), params.query_count(), compute());
    WorkspaceShape shape = params.cache().workspace();
    shape.rows = params.batch * params.tokens;
    const auto workspace = backend().make_workspace(shape);
    backend().prefill_attend({.out = out.data(),
                              .query = query_array.data(),
                              .sink_query = params.turned ? sink_array.data() : nullptr,
                              .sees = params.sees,
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
    const Queries queries = random_queries(params, compute());
    expect_close(run(params, cache, queries),
                 expected(params, cache, queries),
                 params.cache().text() + ", past " + std::to_string(params.past) + ", sees " +
                     std::to_string(params.sees.sinks) + " and " +
                     std::to_string(params.sees.window));
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

// Around tiles of 128 keys and of 128 and 192 queries.
TEST_P(PrefillContract, LargeTilesMeetThePast) {
  for (const int head_dim : {64, 80, 96, 128}) {
    for (const int past : {127, 129, 300}) {
      for (const int tokens : {63, 193}) {
        check({.shape = {.heads = 2, .kv_heads = 1, .head_dim = head_dim},
               .past = past,
               .tokens = tokens});
      }
    }
  }
}

// More tiles of queries than a device has multiprocessors, so that some work on several.
TEST_P(PrefillContract, ManyHeads) {
  for (const int head_dim : {64, 128}) {
    check({.shape = {.heads = 36, .kv_heads = 4, .head_dim = head_dim},
           .batch = 4,
           .past = 0,
           .tokens = 130});
  }
}

// Windows and sinks below, at and beyond the tiles of both backends and the prompt; the sinks of
// one case are more than a tile.
TEST_P(PrefillContract, SeesSinksAndAWindow) {
  for (const int head_dim : {64, 80, 128}) {
    for (const Visibility sees : {Visibility{0, 1},
                                  Visibility{0, 64},
                                  Visibility{4, 1},
                                  Visibility{4, 30},
                                  Visibility{4, 65},
                                  Visibility{70, 33},
                                  Visibility{4, 180},
                                  Visibility{1, 1000},
                                  Visibility{300, 5}}) {
      for (const bool turned : {false, true}) {
        check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = head_dim},
               .batch = head_dim == 80 ? 2 : 1,
               .past = 0,
               .tokens = 200,
               .sees = sees,
               .turned = turned});
      }
    }
  }
}

TEST_P(PrefillContract, ChunksSeeSinksAndAWindow) {
  for (const int past : {1, 3, 64, 100}) {
    for (const int tokens : {1, 65}) {
      for (const Visibility sees : {Visibility{4, 1}, Visibility{4, 40}, Visibility{0, 70}}) {
        check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
               .batch = 2,
               .past = past,
               .tokens = tokens,
               .sees = sees,
               .turned = true});
      }
    }
  }
}

// The later half of a prompt as a chunk of its own against the prompt at once.
TEST_P(PrefillContract, ChunkedEqualsOneShot) {
  const HeadShape shape = {.heads = 4, .kv_heads = 2, .head_dim = 64};
  const PrefillCase whole = {.shape = shape, .past = 0, .tokens = 200};
  const PrefillCase later = {.shape = shape, .past = 73, .tokens = 127};
  const CacheData cache(backend(), whole.cache(), 200);
  const Values query = random_queries(whole, compute()).plain;
  const auto skipped = static_cast<std::ptrdiff_t>(whole.cache().width()) * later.past;
  const Values all = run(whole, cache, {.plain = query, .sink = {}});
  const Values part =
      run(later, cache, {.plain = {query.begin() + skipped, query.end()}, .sink = {}});
  expect_close(part, {all.begin() + skipped, all.end()}, "chunk after 73 tokens");
}

TEST_P(PrefillContract, TheFutureDoesNotMatter) {
  const PrefillCase whole = {
      .shape = {.heads = 4, .kv_heads = 2, .head_dim = 64}, .past = 0, .tokens = 96};
  PrefillCase shorter = whole;
  shorter.tokens = 41;
  const CacheData cache(backend(), whole.cache(), 200);
  const Values query = random_queries(whole, compute()).plain;
  const auto count = static_cast<std::ptrdiff_t>(shorter.query_count());
  const Values all = run(whole, cache, {.plain = query, .sink = {}});
  const Values part =
      run(shorter, cache, {.plain = {query.begin(), query.begin() + count}, .sink = {}});
  expect_close({all.begin(), all.begin() + count}, part, "first 41 of 96 tokens");
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         PrefillContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
