#include <vector>

#include "kernels/core/error.h"
#include "tests/kernels/contract_fixture.h"
#include "tests/support/expect_throw.h"

namespace kvg::kernels {
namespace {

// What every pool reports, whatever stands behind it.
class MemoryContract : public BackendContract {};

constexpr std::size_t kArrayBytes = std::size_t{1000} * 1000 * sizeof(float);
// CUDA's allocator rounds to 512 bytes, and reserves physical memory by 2 MiB and more.
constexpr std::size_t kRounding = 512;

void expect_used_peak(const Pool& pool, std::size_t bytes) {
  const MemoryStats stats = pool.stats();
  EXPECT_EQ(stats.requested_peak, bytes);
  EXPECT_GE(stats.used_peak, bytes);
  EXPECT_LE(stats.used_peak, bytes + kRounding);
  EXPECT_GE(stats.reserved_peak, stats.used_peak);
}

// The bug this project began with: a peak of zero, because it was reset and read at the wrong time.
TEST_P(MemoryContract, PeakIsNeverZeroAfterAnAllocation) {
  Pool& pool = backend().pool();
  pool.reset_peak();
  expect_used_peak(pool, 0);
  {
    const Buffer array = pool.allocate(kArrayBytes, MemoryClass::kKv);
    expect_used_peak(pool, kArrayBytes);
  }
  backend().synchronize();
  expect_used_peak(pool, kArrayBytes);
  pool.reset_peak();
  EXPECT_EQ(pool.stats().requested_peak, 0U);
  EXPECT_LE(pool.stats().used_peak, kRounding);
}

TEST_P(MemoryContract, SharedMemoryIsCountedToo) {
  Pool& pool = backend().host_pool();
  pool.reset_peak();
  const std::size_t held = pool.stats().requested;
  {
    const Buffer array = pool.allocate(kArrayBytes, MemoryClass::kActivations);
    EXPECT_EQ(pool.stats().requested_peak, held + kArrayBytes);
  }
  EXPECT_GE(pool.stats().used_peak, kArrayBytes);
  pool.reset_peak();
  EXPECT_EQ(pool.stats().requested_peak, held);
}

TEST_P(MemoryContract, ResetLeavesWhatIsHeld) {
  Pool& pool = backend().pool();
  const Buffer held = pool.allocate(kArrayBytes, MemoryClass::kWeights);
  { const Buffer gone = pool.allocate(3 * kArrayBytes, MemoryClass::kActivations); }
  backend().synchronize();
  EXPECT_GE(pool.stats().used_peak, 4 * kArrayBytes);
  pool.reset_peak();
  expect_used_peak(pool, kArrayBytes);
  EXPECT_EQ(pool.stats().peak_of(MemoryClass::kWeights), kArrayBytes);
  EXPECT_EQ(pool.stats().peak_of(MemoryClass::kActivations), 0U);
}

TEST_P(MemoryContract, AllocationsAreAligned) {
  std::vector<Buffer> buffers;
  for (const std::size_t bytes : {1U, 3U, 255U, 256U, 257U, 4099U}) {
    buffers.push_back(backend().pool().allocate(bytes, MemoryClass::kKv));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffers.back().data()) % 256, 0U);
  }
}

TEST_P(MemoryContract, TheLimitOfTheOptionsHolds) {
  const testing_support::Target& target = GetParam();
  const std::unique_ptr<Backend> small =
      make_backend(find_device(target.device),
                   {.compute = target.compute, .threads = 1, .memory_limit = 1 << 20});
  testing_support::expect_throw<OutOfMemory>(
      [&] { (void)small->pool().allocate(1 << 21, MemoryClass::kKv); }, "kv need 2097152 bytes, ");
}

TEST_P(MemoryContract, WorkspaceIsAsPlanned) {
  const WorkspaceShape shape = {.batch = 2,
                                .rows = 300,
                                .hidden = 256,
                                .features = 1408,
                                .heads = {.heads = 4, .kv_heads = 2, .head_dim = 64},
                                .entries = 1002};
  std::unique_ptr<Workspace> workspace;
  for (const int rows : {2, 300, 2}) {
    WorkspaceShape wanted = shape;
    wanted.rows = rows;
    const std::size_t before = backend().pool().stats().of(MemoryClass::kWorkspace);
    workspace = backend().make_workspace(wanted);
    const std::size_t after = backend().pool().stats().of(MemoryClass::kWorkspace);
    EXPECT_EQ(after, backend().workspace_bytes(wanted)) << "before: " << before;
    EXPECT_GT(after, 0U);
  }
}

TEST_P(MemoryContract, WorkspacesLiveSideBySide) {
  const WorkspaceShape shape = {.rows = 4, .hidden = 64, .features = 64, .heads = {}};
  const auto used = [this] { return backend().pool().stats().of(MemoryClass::kWorkspace); };
  auto first = backend().make_workspace(shape);
  const auto second = backend().make_workspace(shape);
  EXPECT_EQ(used(), 2 * backend().workspace_bytes(shape));
  backend().use_workspace(*first);
  first.reset();
  EXPECT_EQ(used(), backend().workspace_bytes(shape));
}

TEST_P(MemoryContract, TheProcessHoldsMemory) {
  EXPECT_GT(backend().process_bytes(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         MemoryContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
