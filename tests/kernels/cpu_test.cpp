#include <bit>
#include <cmath>
#include <vector>

#include "kernels/core/error.h"
#include "tests/kernels/attend_case.h"
#include "tests/kernels/stored_case.h"
#include "tests/support/expect_throw.h"

// What holds on the cpu beyond the contract of every backend.

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::Values;

std::unique_ptr<Backend> cpu(int threads) {
  return make_backend(find_device("cpu"), {.threads = threads});
}

std::vector<std::byte> attended(const AttendCase& params, int threads) {
  const std::unique_ptr<Backend> backend = cpu(threads);
  const CacheData cache(*backend, params, 100);
  const DeviceArray query(
      *backend, testing_support::random_values(params.query_count(), 1), DType::kF32);
  const DeviceArray* const queries[2] = {&query, nullptr};
  return attend(*backend, params, cache, queries).bytes();
}

TEST(Cpu, AttentionDependsNeitherOnThreadsNorOnOtherRows) {
  AttendCase params = {.shape = {.heads = 6, .kv_heads = 2, .head_dim = 80},
                       .batch = 3,
                       .entries = 1002,
                       .capacity = 1002};
  const std::vector<std::byte> three = attended(params, 1);
  EXPECT_EQ(attended(params, 2), three);
  EXPECT_EQ(attended(params, 5), three);
  params.batch = 1;
  const std::vector<std::byte> alone = attended(params, 2);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), three.begin()));
}

std::vector<std::byte> projected(int rows, int threads, DType weights) {
  constexpr int kIn = 93;
  constexpr int kOut = 131;
  const std::unique_ptr<Backend> backend = cpu(threads);
  const testing_support::DeviceMatrix matrix(
      *backend, testing_support::random_matrix(kOut, kIn, true, weights), weights);
  const DeviceArray in(*backend,
                       testing_support::random_values(static_cast<std::size_t>(rows) * kIn, 1),
                       DType::kF32);
  const DeviceArray out(*backend, Values(static_cast<std::size_t>(rows) * kOut), DType::kF32);
  const auto workspace =
      backend->make_workspace({.batch = rows,
                               .rows = rows,
                               .hidden = kIn,
                               .features = kOut,
                               .heads = {.heads = 1, .kv_heads = 1, .head_dim = 64},
                               .entries = 1});
  backend->add_project(
      {.inout = out.floats(), .in = in.data(), .linear = matrix.linear(), .rows = rows});
  return out.bytes();
}

TEST(Cpu, FewRowsAreEachComputedAsIfAlone) {
  for (const DType weights : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<std::byte> alone = projected(1, 1, weights);
    for (const int rows : {2, 3, 7, 8}) {
      const std::vector<std::byte> all = projected(rows, 2, weights);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin())) << rows;
    }
  }
}

TEST(Cpu, ManyRowsDoNotDependOnThreads) {
  const std::vector<std::byte> one = projected(300, 1, DType::kBF16);
  EXPECT_EQ(projected(300, 2, DType::kBF16), one);
  EXPECT_EQ(projected(300, 4, DType::kBF16), one);
}

TEST(Cpu, TakesAnyHeadDim) {
  for (const int head_dim : {1, 8, 20, 63}) {
    const std::unique_ptr<Backend> backend = cpu(2);
    const AttendCase params = {.shape = {.heads = 3, .kv_heads = 1, .head_dim = head_dim},
                               .batch = 1,
                               .entries = 301,
                               .capacity = 301};
    const CacheData cache(*backend, params, 100);
    const Values query = testing_support::random_values(params.query_count(), 1);
    const DeviceArray query_array(*backend, query, DType::kF32);
    const DeviceArray* const queries[2] = {&query_array, nullptr};
    const Values got = attend(*backend, params, cache, queries).read();
    Values want;
    for (int head = 0; head < 3; ++head) {
      const Values one(query.begin() + head * head_dim, query.begin() + (head + 1) * head_dim);
      const Values values = testing_support::attended({.queries = {301, &one},
                                                       .keys = cache.keys(0, 0),
                                                       .values = cache.values(0, 0),
                                                       .scale = params.scale()});
      want.insert(want.end(), values.begin(), values.end());
    }
    EXPECT_LT(testing_support::relative_error(got, want), 1e-5) << head_dim;
  }
}

// Widening in registers against the plain conversion, for everything that 16 bits can hold.
TEST(Cpu, WidensEveryHalf) {
  const std::unique_ptr<Backend> backend = cpu(1);
  constexpr int kCount = 65536;
  const Buffer table = backend->pool().allocate(std::size_t{2} * kCount, MemoryClass::kWeights);
  for (int i = 0; i < kCount; ++i) {
    table.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(i);
  }
  const testing_support::SharedArray<std::int32_t> token(*backend, {0});
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const DeviceArray out(*backend, std::size_t{kCount}, DType::kF32);
    backend->embed({.out = out.floats(),
                    .table = table.data(),
                    .dtype = dtype,
                    .tokens = token.data(),
                    .rows = 1,
                    .hidden = kCount});
    for (int i = 0; i < kCount; ++i) {
      const auto bits = static_cast<std::uint16_t>(i);
      const float want = dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
      const float got = out.floats()[i];
      EXPECT_TRUE(std::isnan(want)
                      ? std::isnan(got)
                      : std::bit_cast<std::uint32_t>(got) == std::bit_cast<std::uint32_t>(want))
          << name_of(dtype) << " " << i << ": " << got << ", not " << want;
    }
  }
}

// The only entry's value is the output: what tiles widen is what codec.h reads, to the last bit.
TEST(Cpu, ReadsWhatTheCodecDoes) {
  const std::unique_ptr<Backend> backend = cpu(2);
  for (const int head_dim : {64, 192}) {
    for (const FormCase& forms : form_cases(head_dim)) {
      StoredCache cache(
          *backend,
          forms,
          {.shape = {.heads = 3, .kv_heads = 3, .head_dim = head_dim}, .entries = {1, 1, 1}});
      cache.store_prompt(false);
      cache.expect_attention({}, 1e-30, "one entry");
    }
  }
}

TEST(Cpu, RefusesWhatItWasNotPlannedFor) {
  const std::unique_ptr<Backend> backend = cpu(1);
  AttendCase params = {.shape = {.heads = 2, .kv_heads = 1, .head_dim = 64},
                       .batch = 1,
                       .entries = 1000,
                       .capacity = 1000};
  const CacheData cache(*backend, params, 100);
  const DeviceArray query(*backend, params.query_count(), DType::kF32);
  AttendArgs args = {.out = query.data(),
                     .query = query.data(),
                     .kv = cache.stored(),
                     .shape = params.shape,
                     .batch = 1};
  WorkspaceShape small = params.workspace();
  small.entries = 10;
  const auto workspace = backend->make_workspace(small);
  testing_support::expect_invalid([&] { backend->attend(args); }, "workspace was reserved for");
  args.kv.capacity = 999;
  testing_support::expect_invalid([&] { backend->attend(args); },
                                  "a head of 1000 entries; its cache takes 1 to 999");
}

}  // namespace
}  // namespace kvg::kernels
