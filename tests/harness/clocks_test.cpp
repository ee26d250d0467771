#include "harness/clocks.h"

#include <gtest/gtest.h>

namespace kvg::harness {
namespace {

TEST(ThrottleNames, TellsWhatSlowsACardAgainstItsUsersWill) {
  EXPECT_EQ(throttle_names(0), "");
  // Idle, clocks that were set, sync boost, display clocks.
  EXPECT_EQ(throttle_names(0x1 | 0x2 | 0x10 | 0x100), "");
  EXPECT_EQ(throttle_names(0x4 | 0x40), "sw_power_cap,hw_thermal");
  EXPECT_EQ(throttle_names(0x1 | 0x8 | 0x20 | 0x80), "hw_slowdown,sw_thermal,hw_power_brake");
}

TEST(ClockReader, HasNothingToReadOnTheCpu) {
  EXPECT_FALSE(ClockReader(kernels::find_device("cpu")).read());
}

}  // namespace
}  // namespace kvg::harness
