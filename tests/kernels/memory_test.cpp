#include "kernels/core/memory.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg {
namespace {

using testing_support::expect_throw;

// Memory of the host; refuses when told to.
class TestPool final : public Pool {
 public:
  bool is_full = false;
  int live = 0;

 private:
  void* do_allocate(std::size_t bytes) override {
    if (is_full) {
      return nullptr;
    }
    ++live;
    return std::malloc(bytes);
  }
  void do_release(void* data, std::size_t) noexcept override {
    --live;
    std::free(data);
  }
  AllocatorPeaks do_peaks(std::size_t requested_peak) const override {
    return {.used = requested_peak + 1, .reserved = requested_peak + 2};
  }
  void do_reset_peaks() override {}
};

TEST(Pool, CountsByClass) {
  TestPool pool;
  const Buffer kv = pool.allocate(100, MemoryClass::kKv);
  const Buffer weights = pool.allocate(30, MemoryClass::kWeights);
  const Buffer more_kv = pool.allocate(5, MemoryClass::kKv);
  const MemoryStats stats = pool.stats();
  EXPECT_EQ(stats.of(MemoryClass::kKv), 105U);
  EXPECT_EQ(stats.of(MemoryClass::kWeights), 30U);
  EXPECT_EQ(stats.of(MemoryClass::kWorkspace), 0U);
  EXPECT_EQ(stats.requested, 135U);
}

TEST(Pool, PeaksOfClassesAndSumAreTheirOwn) {
  TestPool pool;
  { const Buffer kv = pool.allocate(100, MemoryClass::kKv); }
  const Buffer weights = pool.allocate(60, MemoryClass::kWeights);
  const MemoryStats stats = pool.stats();
  EXPECT_EQ(stats.requested, 60U);
  EXPECT_EQ(stats.requested_peak, 100U);
  EXPECT_EQ(stats.peak_of(MemoryClass::kKv), 100U);
  EXPECT_EQ(stats.peak_of(MemoryClass::kWeights), 60U);
}

TEST(Pool, ReportsTheAllocatorsPeaks) {
  TestPool pool;
  const Buffer kv = pool.allocate(100, MemoryClass::kKv);
  EXPECT_EQ(pool.stats().used_peak, 101U);
  EXPECT_EQ(pool.stats().reserved_peak, 102U);
}

TEST(Pool, ResetSetsPeaksToWhatIsHeld) {
  TestPool pool;
  const Buffer held = pool.allocate(7, MemoryClass::kWeights);
  { const Buffer gone = pool.allocate(100, MemoryClass::kKv); }
  pool.reset_peak();
  EXPECT_EQ(pool.stats().requested_peak, 7U);
  EXPECT_EQ(pool.stats().peak_of(MemoryClass::kKv), 0U);
  EXPECT_EQ(pool.stats().peak_of(MemoryClass::kWeights), 7U);
}

TEST(Pool, RefusesBeyondItsLimit) {
  TestPool pool;
  pool.set_limit(100);
  const Buffer first = pool.allocate(60, MemoryClass::kWeights);
  expect_throw<OutOfMemory>(
      [&] { (void)pool.allocate(41, MemoryClass::kKv); },
      "out of memory: kv need 41 bytes, 60 bytes are held of 100 bytes allowed");
  const Buffer fits = pool.allocate(40, MemoryClass::kKv);
  EXPECT_EQ(pool.stats().requested, 100U);
  expect_throw<OutOfMemory>(
      [&] { (void)pool.allocate(static_cast<std::size_t>(-1), MemoryClass::kKv); }, "allowed");
}

TEST(Pool, ALimitOfZeroIsNone) {
  TestPool pool;
  pool.set_limit(1);
  pool.set_limit(0);
  EXPECT_EQ(pool.allocate(1000, MemoryClass::kKv).bytes(), 1000U);
}

TEST(Pool, SaysWhenTheDeviceIsFull) {
  TestPool pool;
  pool.is_full = true;
  expect_throw<OutOfMemory>(
      [&] { (void)pool.allocate(9, MemoryClass::kWorkspace); },
      "out of memory: workspace need 9 bytes, 0 bytes are held, and the device has no room");
  EXPECT_EQ(pool.stats().requested_peak, 0U);
}

TEST(Pool, ZeroBytesAreAnEmptyBuffer) {
  TestPool pool;
  const Buffer empty = pool.allocate(0, MemoryClass::kKv);
  EXPECT_EQ(empty.data(), nullptr);
  EXPECT_EQ(empty.bytes(), 0U);
  EXPECT_EQ(pool.live, 0);
}

TEST(Pool, CountsFromManyThreads) {
  TestPool pool;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool] {
      for (int i = 0; i < 1000; ++i) {
        const Buffer buffer = pool.allocate(16, MemoryClass::kObservations);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(pool.stats().requested, 0U);
  EXPECT_EQ(pool.live, 0);
  EXPECT_GE(pool.stats().requested_peak, 16U);
  EXPECT_LE(pool.stats().requested_peak, 64U);
}

TEST(Buffer, MovesOwnership) {
  TestPool pool;
  Buffer first = pool.allocate(10, MemoryClass::kKv);
  void* data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  Buffer third = pool.allocate(5, MemoryClass::kWeights);
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.bytes(), 10U);
  EXPECT_EQ(pool.live, 1);
  EXPECT_EQ(pool.stats().of(MemoryClass::kWeights), 0U);
  EXPECT_EQ(pool.stats().of(MemoryClass::kKv), 10U);
}

TEST(Buffer, SurvivesAMoveOntoItself) {
  TestPool pool;
  Buffer buffer = pool.allocate(10, MemoryClass::kKv);
  Buffer& same = buffer;
  buffer = std::move(same);
  EXPECT_EQ(buffer.bytes(), 10U);
  EXPECT_EQ(pool.live, 1);
}

TEST(MemoryClass, HasNames) {
  EXPECT_EQ(name_of(MemoryClass::kWeights), "weights");
  EXPECT_EQ(name_of(MemoryClass::kKv), "kv");
  EXPECT_EQ(name_of(MemoryClass::kActivations), "activations");
  EXPECT_EQ(name_of(MemoryClass::kWorkspace), "workspace");
  EXPECT_EQ(name_of(MemoryClass::kObservations), "observations");
}

}  // namespace
}  // namespace kvg
