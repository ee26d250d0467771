#include <cmath>
#include <vector>

#include "tests/kernels/contract_fixture.h"

namespace kvg::kernels {
namespace {

class CeilingsContract : public BackendContract {};

constexpr std::size_t kRoom = std::size_t{1} << 30U;

TEST_P(CeilingsContract, MeasureWhatTheDeviceReaches) {
  const bool on_cuda = backend().device().kind == DeviceKind::kCuda;
  const Ceilings ceilings =
      backend().measure_ceilings({.working_set = std::size_t{16} << 20U, .room = kRoom});
  for (const auto& figure :
       {ceilings.read_gbps, ceilings.copy_gbps, ceilings.gemm_tflops, ceilings.kernel_us}) {
    ASSERT_TRUE(figure);
    EXPECT_TRUE(std::isfinite(*figure));
    EXPECT_GT(*figure, 0.0);
  }
  EXPECT_EQ(ceilings.h2d_gbps.has_value(), on_cuda) << "nothing is uploaded on the cpu";
  // No memory of one processor or card is faster than 100 TB/s, none of use slower than 0.1 GB/s.
  EXPECT_GT(*ceilings.read_gbps, 0.1);
  EXPECT_LT(*ceilings.read_gbps, 1e5);
}

TEST_P(CeilingsContract, GiveBackWhatTheyTake) {
  Pool& pool = backend().pool();
  const std::size_t held = pool.stats().requested;
  static_cast<void>(backend().measure_ceilings({.working_set = kRoom, .room = kRoom}));
  EXPECT_EQ(pool.stats().requested, held);
}

TEST_P(CeilingsContract, LeaveOutWhatHasNoRoom) {
  Pool& pool = backend().pool();
  pool.reset_peak();
  const std::size_t held = pool.stats().requested;
  const Ceilings ceilings = backend().measure_ceilings({.working_set = kRoom, .room = 1000});
  EXPECT_FALSE(ceilings.read_gbps);
  EXPECT_FALSE(ceilings.copy_gbps);
  EXPECT_FALSE(ceilings.gemm_tflops);
  EXPECT_TRUE(ceilings.kernel_us);
  EXPECT_LE(pool.stats().requested_peak, held + 1000);
}

TEST_P(CeilingsContract, TimeGrowsWithTheWork) {
  constexpr std::size_t kBytes = std::size_t{64} << 20U;
  const Buffer device = backend().pool().allocate(kBytes, MemoryClass::kKv);
  const std::vector<std::byte> host(kBytes);
  const auto upload = [&](std::size_t bytes) {
    return backend().time([&] { backend().upload(device.data(), host.data(), bytes); });
  };
  static_cast<void>(upload(kBytes));
  EXPECT_GT(upload(kBytes), upload(kBytes / 1024));
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         CeilingsContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
