#include "harness/meter.h"

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_throw;

constexpr kernels::DeviceKind kCpu = kernels::DeviceKind::kCpu;
constexpr kernels::DeviceKind kCuda = kernels::DeviceKind::kCuda;

kernels::DeviceInfo device(kernels::DeviceKind kind, const char* id) {
  kernels::DeviceInfo info;
  info.kind = kind;
  info.id = id;
  return info;
}

TEST(CheckPeaks, RefusesAPeakOfZeroOnCuda) {
  expect_throw<Error>([&] { check_peaks({}, device(kCuda, "cuda:1")); },
                      "memory meter: cuda:1 reports a peak of 0 bytes");
  EXPECT_NO_THROW(check_peaks({}, device(kCpu, "cpu")));
}

TEST(CheckPeaks, RefusesAnAllocatorThatSawLessThanWasAsked) {
  MemoryStats stats;
  stats.requested_peak = 4096;
  stats.used_peak = 4095;
  expect_throw<Error>([&] { check_peaks(stats, device(kCpu, "cpu")); },
                      "a peak of 4095 bytes, below the 4096 bytes");
}

class Meter : public testing::Test {
 protected:
  Meter() : backend_(kernels::make_backend(kernels::find_device(KVG_TEST_DEVICE), {})) {}

  std::unique_ptr<kernels::Backend> backend_;
};

TEST_F(Meter, SeesAnAllocationAndForgetsItOnceReset) {
  constexpr std::int64_t kBytes = 1000 * 1000 * sizeof(float);
  // What an allocator may add: CUDA rounds to pieces of at most 2 MiB.
  constexpr std::int64_t kRounding = 2 << 20;
  MemoryMeter meter(*backend_);
  const std::int64_t before = static_cast<std::int64_t>(backend_->pool().stats().requested);
  {
    const Buffer block = backend_->pool().allocate(kBytes, MemoryClass::kActivations);
    const std::int64_t peak = meter.lap();
    EXPECT_GE(peak, before + kBytes);
    EXPECT_LE(peak, before + kBytes + kRounding);
    // The peak starts again at what is held, not at nothing.
    EXPECT_GE(static_cast<std::int64_t>(backend_->pool().stats().used_peak), kBytes);
    EXPECT_EQ(meter.figures().activations_bytes, kBytes);
  }
  backend_->synchronize();
  backend_->pool().reset_peak();
  EXPECT_LT(static_cast<std::int64_t>(backend_->pool().stats().used_peak), before + kBytes);
  EXPECT_EQ(meter.figures().activations_bytes, kBytes);
}

TEST_F(Meter, KeepsTheHighestLap) {
  const Buffer held = backend_->pool().allocate(1024, MemoryClass::kKv);
  MemoryMeter meter(*backend_);
  { const Buffer large = backend_->pool().allocate(1 << 20, MemoryClass::kWorkspace); }
  meter.lap();
  { const Buffer small = backend_->pool().allocate(1 << 10, MemoryClass::kWorkspace); }
  meter.lap();
  EXPECT_GE(meter.figures().workspace_bytes, 1 << 20);
  EXPECT_EQ(meter.figures().kv_bytes, 1024);
}

TEST_F(Meter, PartsTheProcessIntoPoolAndRest) {
  const Buffer held = backend_->pool().allocate(1 << 20, MemoryClass::kKv);
  MemoryMeter meter(*backend_);
  meter.lap();
  const MemoryFigures figures = meter.figures();
  if (figures.process_bytes) {
    EXPECT_EQ(*figures.unaccounted_bytes + figures.pool_reserved_peak_bytes,
              *figures.process_bytes);
  } else {
    EXPECT_FALSE(figures.unaccounted_bytes);
  }
}

class MeteredPolicies : public Meter {
 protected:
  struct Run {
    MemoryFigures figures;
    std::int64_t predicted = 0;
  };

  MeteredPolicies()
      : source_(model::find_model("tiny-llama", 0)),
        weights_(model::load_weights(source_, *backend_, {})) {}

  Run run(const char* spec) {
    const auto policy = kvcompress::parse_policy(spec);
    MemoryMeter meter(*backend_);
    model::Runner runner({source_.config, weights_}, *backend_, policy, kShape);
    for (const std::int32_t token : {1, 917, 823}) {
      runner.step(std::vector{token}, std::vector{model::kNoTarget});
    }
    meter.lap();
    const auto plan = model::Runner::plan(source_.config, *backend_, policy, kShape);
    return {.figures = meter.figures(), .predicted = static_cast<std::int64_t>(plan.total())};
  }

  static constexpr model::RunShape kShape{.batch = 1, .prompt = 0, .tokens = 1999, .chunk = 0};
  model::ModelSource source_;
  model::Weights weights_;
};

TEST_F(MeteredPolicies, HoldWhatWasPredicted) {
  for (const char* spec : {"baseline", "streaming_1024", "streaming_512", "streaming_256"}) {
    const Run measured = run(spec);
    EXPECT_NEAR(static_cast<double>(measured.figures.pool_used_peak_bytes),
                static_cast<double>(measured.predicted),
                0.01 * static_cast<double>(measured.predicted))
        << spec;
  }
}

TEST_F(MeteredPolicies, HoldExactlyTheirSlots) {
  const struct {
    const char* spec;
    std::int64_t slots;
  } cases[] = {{"baseline", 1999},
               {"streaming_1024", 1025},
               {"streaming_512", 513},
               {"streaming_256", 257},
               {"streaming_4096", 1999}};
  const model::Config& config = source_.config;
  const auto bytes = static_cast<std::int64_t>(size_of(backend_->compute_dtype()));
  for (const auto& expected : cases) {
    EXPECT_EQ(run(expected.spec).figures.kv_bytes,
              std::int64_t{config.layers} * config.heads.kv_heads * expected.slots *
                  config.heads.head_dim * 2 * bytes)
        << expected.spec;
  }
}

TEST_F(MeteredPolicies, FallWithTheBudgetInAnyOrder) {
  const auto peak = [this](const char* spec) { return run(spec).figures.pool_used_peak_bytes; };
  const std::int64_t small = peak("streaming_256");
  const std::int64_t whole = peak("baseline");
  const std::int64_t large = peak("streaming_1024");
  const std::int64_t middle = peak("streaming_512");
  EXPECT_GT(whole, large);
  EXPECT_GT(large, middle);
  EXPECT_GT(middle, small);
  // A row does not depend on those above it.
  EXPECT_EQ(peak("streaming_256"), small);
}

TEST_F(MeteredPolicies, CostUnderAThousandthOfARun) {
  MemoryMeter meter(*backend_);
  model::Runner runner(
      {source_.config, weights_}, *backend_, kvcompress::parse_policy("streaming_64"), kShape);
  const double step = seconds_of([&runner] {
                        for (int i = 0; i < 100; ++i) {
                          runner.step(std::vector{1}, std::vector{model::kNoTarget});
                        }
                      }) /
                      100.0;
  const double lap = seconds_of([&meter] {
                       for (int i = 0; i < 100; ++i) {
                         meter.lap();
                       }
                     }) /
                     100.0;
  // One lap a sample of 2000 tokens, as the main job has it.
  EXPECT_LT(lap, 0.001 * 1999.0 * step);
}

}  // namespace
}  // namespace kvg::harness
