#include "harness/calibration.h"

#include <gtest/gtest.h>

namespace kvg::harness {
namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20U;

class Calibrate : public testing::Test {
 protected:
  std::unique_ptr<kernels::Backend> backend_ =
      kernels::make_backend(kernels::find_device("cpu"), {});
};

TEST_F(Calibrate, MeasuresOnceAProcess) {
  const kernels::CeilingSizes sizes{.working_set = 8 * kMegabyte, .room = 64 * kMegabyte};
  const kernels::Ceilings first = calibrate(*backend_, sizes, 0);
  const kernels::Ceilings again = calibrate(*backend_, sizes, 0);
  ASSERT_TRUE(first.gemm_tflops);
  // Two measurements never agree to the last bit.
  EXPECT_EQ(*first.gemm_tflops, *again.gemm_tflops);
  EXPECT_EQ(*first.read_gbps, *again.read_gbps);
  const kernels::Ceilings other =
      calibrate(*backend_, {.working_set = 16 * kMegabyte, .room = 64 * kMegabyte}, 0);
  EXPECT_NE(*first.gemm_tflops, *other.gemm_tflops);
}

TEST_F(Calibrate, LeavesNothingInTheMeter) {
  Pool& pool = backend_->pool();
  static_cast<void>(
      calibrate(*backend_, {.working_set = 9 * kMegabyte, .room = 64 * kMegabyte}, 0));
  EXPECT_EQ(pool.stats().requested, 0U);
  EXPECT_EQ(pool.stats().requested_peak, 0U);
  EXPECT_EQ(pool.stats().used_peak, 0U);
}

TEST_F(Calibrate, GoesWithoutWhatTheMemoryDoesNotAllow) {
  backend_->pool().set_limit(kMegabyte);
  const kernels::Ceilings none =
      calibrate(*backend_, {.working_set = 8 * kMegabyte, .room = 64 * kMegabyte}, 1);
  EXPECT_FALSE(none.read_gbps);
  EXPECT_FALSE(none.gemm_tflops);
}

}  // namespace
}  // namespace kvg::harness
