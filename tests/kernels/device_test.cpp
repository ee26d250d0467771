#include "kernels/device.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg::kernels {
namespace {

using testing_support::expect_invalid;

bool has_cuda() {
  return available_devices().size() > 1;
}

TEST(Device, TheCpuComesFirst) {
  const std::vector<DeviceInfo> devices = available_devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_EQ(devices[0].id, "cpu");
  EXPECT_EQ(devices[0].kind, DeviceKind::kCpu);
  EXPECT_GE(devices[0].total_bytes, devices[0].free_bytes);
  EXPECT_FALSE(devices[0].gemm.empty());
  EXPECT_FALSE(devices[0].prefill_attention.empty());
  EXPECT_FALSE(devices[0].decode_attention.empty());
}

TEST(Device, AutoIsTheFirstCudaDeviceElseTheCpu) {
  EXPECT_EQ(find_device("auto").id, has_cuda() ? "cuda:0" : "cpu");
  EXPECT_EQ(find_device("cpu").id, "cpu");
}

TEST(Device, AnUnknownNameIsRefusedWithTheList) {
  expect_invalid([] { (void)find_device("tpu"); },
                 "device \"tpu\" does not exist; available: auto, cpu");
  expect_invalid([] { (void)find_device(""); }, "device \"\" does not exist");
  expect_invalid([] { (void)find_device("CPU"); }, "device \"CPU\" does not exist");
}

TEST(Device, SaysWhyThereIsNoCuda) {
  if (has_cuda()) {
    expect_invalid([] { (void)find_device("cuda:99"); }, "device \"cuda:99\" does not exist");
    return;
  }
  expect_invalid([] { (void)find_device("cuda"); }, "device \"cuda\": ");
  expect_invalid([] { (void)find_device("cuda:1"); }, "; available: cpu");
}

TEST(Device, TheCpuComputesInF32Alone) {
  expect_invalid([] { (void)make_backend(find_device("cpu"), {.compute = DType::kBF16}); },
                 "the cpu computes in f32, not in bf16");
  expect_invalid([] { (void)make_backend(find_device("cpu"), {.threads = -1}); },
                 "threads must be at least 1, or 0 for all; got -1");
}

}  // namespace
}  // namespace kvg::kernels
