#include <vector>

#include "tests/kernels/attend_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::Values;

class AttendContract : public BackendContract {};

Values head_of(const Values& queries, const AttendCase& params, int row, int head) {
  const auto dim = static_cast<std::ptrdiff_t>(params.shape.head_dim);
  const auto at = queries.begin() + (row * params.shape.heads + head) * dim;
  return {at, at + dim};
}

Values expected(const AttendCase& params,
                const CacheData& cache,
                const Values& query,
                const Values& sink_query) {
  Values all;
  for (int row = 0; row < params.batch; ++row) {
    for (int head = 0; head < params.shape.heads; ++head) {
      const int kv_head = head / (params.shape.heads / params.shape.kv_heads);
      const Values main = head_of(query, params, row, head);
      const Values sink = head_of(sink_query, params, row, head);
      testing_support::HeadAttention attention = {.queries = {},
                                                  .keys = cache.keys(row, kv_head),
                                                  .values = cache.values(row, kv_head),
                                                  .scale = params.scale()};
      for (std::int32_t slot = 0; slot < params.entries; ++slot) {
        attention.queries.push_back(slot < params.sinks ? &sink : &main);
      }
      const Values one = testing_support::attended(attention);
      all.insert(all.end(), one.begin(), one.end());
    }
  }
  return all;
}

void check(Backend& backend, const AttendCase& params, double bound) {
  const CacheData cache(backend, params, 100);
  const DType compute = backend.compute_dtype();
  const Values query =
      testing_support::rounded(testing_support::random_values(params.query_count(), 1), compute);
  const Values sink =
      testing_support::rounded(testing_support::random_values(params.query_count(), 2), compute);
  const DeviceArray query_array(backend, query, compute);
  const DeviceArray sink_array(backend, sink, compute);
  const DeviceArray* const queries[2] = {&query_array, params.sinks > 0 ? &sink_array : nullptr};
  const Values got = attend(backend, params, cache, queries).read();
  EXPECT_LT(testing_support::relative_error(got, expected(params, cache, query, sink)), bound)
      << params.text();
}

std::vector<AttendCase> cases() {
  std::vector<AttendCase> all;
  for (const int head_dim : {64, 80, 96, 128, 256}) {
    for (const int group : {1, 2, 4, 7}) {
      for (const std::int32_t entries : {1, 37, 1002}) {
        const int batch = entries == 37 ? 3 : 1;
        all.push_back({.shape = {.heads = 2 * group, .kv_heads = 2, .head_dim = head_dim},
                       .batch = batch,
                       .entries = entries,
                       .capacity = entries + 3,
                       .sinks = group % 2 == 0 ? 4 : 0});
      }
    }
  }
  return all;
}

TEST_P(AttendContract, MatchesTheFormula) {
  for (const AttendCase& params : cases()) {
    check(backend(), params, bound());
  }
}

TEST_P(AttendContract, TakesManyHeadsAndRows) {
  check(backend(),
        {.shape = {.heads = 32, .kv_heads = 32, .head_dim = 64},
         .batch = 3,
         .entries = 257,
         .capacity = 257,
         .sinks = 4},
        bound());
}

TEST_P(AttendContract, TakesLongCaches) {
  check(backend(),
        {.shape = {.heads = 8, .kv_heads = 1, .head_dim = 128},
         .batch = 1,
         .entries = 9001,
         .capacity = 9001,
         .sinks = 4},
        bound());
}

TEST_P(AttendContract, SinksAtTheEdgesOfSplits) {
  for (const int sinks : {1, 255, 256, 257, 1002}) {
    check(backend(),
          {.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
           .batch = 1,
           .entries = 1002,
           .capacity = 1002,
           .sinks = sinks},
          bound());
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         AttendContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
