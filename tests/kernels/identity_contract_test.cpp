#include <algorithm>
#include <vector>

#include "tests/kernels/attend_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::Values;

// Results that have to agree to the last bit.
class IdentityContract : public BackendContract {
 protected:
  std::vector<std::byte> attended(const AttendCase& params, bool with_sink_query) {
    const CacheData cache(backend(), params, 100);
    const DeviceArray query(
        backend(), testing_support::random_values(params.query_count(), 1), compute());
    const DeviceArray* const queries[2] = {&query, with_sink_query ? &query : nullptr};
    return attend(backend(), params, cache, queries).bytes();
  }
};

std::ptrdiff_t row_bytes(const AttendCase& params, DType dtype) {
  return static_cast<std::ptrdiff_t>(params.width() * size_of(dtype));
}

AttendCase a_case() {
  return {.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
          .batch = 1,
          .entries = 1002,
          .capacity = 1002};
}

TEST_P(IdentityContract, EqualQueriesMakeSinksPlainEntries) {
  AttendCase with_sinks = a_case();
  with_sinks.sinks = 4;
  EXPECT_EQ(attended(with_sinks, true), attended(a_case(), false));
}

TEST_P(IdentityContract, CapacityDoesNotChangeAttention) {
  AttendCase roomy = a_case();
  roomy.capacity = 5000;
  EXPECT_EQ(attended(roomy, false), attended(a_case(), false));
}

TEST_P(IdentityContract, RepeatsItself) {
  EXPECT_EQ(attended(a_case(), false), attended(a_case(), false));
}

TEST_P(IdentityContract, AttentionOfARowIgnoresTheOthers) {
  AttendCase params = a_case();
  params.batch = 3;
  const std::vector<std::byte> some = attended(params, false);
  params.others = 5000;
  const std::vector<std::byte> other = attended(params, false);
  EXPECT_TRUE(std::equal(some.begin(), some.begin() + row_bytes(params, compute()), other.begin()));
  EXPECT_NE(some, other);
}

TEST_P(IdentityContract, ProjectionOfARowIgnoresTheOthers) {
  constexpr int kRows = 3;
  constexpr int kWidth = 64;
  const testing_support::Matrix matrix =
      testing_support::random_matrix(96, kWidth, true, compute());
  const testing_support::DeviceMatrix device_matrix(backend(), matrix, compute());
  const auto workspace =
      backend().make_workspace({.batch = kRows,
                                .rows = kRows,
                                .hidden = kWidth,
                                .features = 96,
                                .heads = {.heads = 1, .kv_heads = 1, .head_dim = kWidth},
                                .entries = 1});
  const auto run = [&](std::uint32_t other_rows_seed) {
    Values in = testing_support::random_values(kWidth, 1);
    const Values others = testing_support::random_values((kRows - 1) * kWidth, other_rows_seed);
    in.insert(in.end(), others.begin(), others.end());
    const DeviceArray in_array(backend(), in, compute());
    const DeviceArray out(backend(), Values(kRows * 96, 0.0), DType::kF32);
    backend().add_project({.inout = out.floats(),
                           .in = in_array.data(),
                           .linear = device_matrix.linear(),
                           .rows = kRows});
    Values row = out.read();
    row.resize(96);
    return row;
  };
  EXPECT_EQ(run(2), run(3));
}

TEST_P(IdentityContract, ALaunchIsTheStepAgain) {
  const testing_support::SharedArray<StepCursor> cursor(backend(), {{}});
  const testing_support::SharedArray<HeadCursor> head(backend(), {{.limit = 3, .sinks = 1}});
  const auto step = [&] {
    backend().advance(
        {.cursor = cursor.data(), .heads = head.data(), .count = 1, .cache_positions = true});
  };
  step();
  backend().synchronize();
  const std::unique_ptr<Graph> graph = backend().capture(step);
  backend().synchronize();
  EXPECT_EQ(cursor.read()[0].position, 1) << "recording executes nothing";
  for (int i = 0; i < 5; ++i) {
    graph->launch();
  }
  backend().synchronize();
  EXPECT_EQ(cursor.read()[0].position, 6);
  EXPECT_EQ(cursor.read()[0].sink_position, 2);
  // Slots 0, 1, 2, then 1 and 2 in turn: 1, 2, 1, 2.
  EXPECT_EQ(head.read()[0].entries, 3);
  EXPECT_EQ(head.read()[0].slot, 2);
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         IdentityContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
