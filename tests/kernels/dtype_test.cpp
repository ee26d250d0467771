#include "kernels/core/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace kvg {
namespace {

// The value of an f16 by its definition.
double f16_value(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  }
  return exponent == 0 ? sign * std::ldexp(mantissa, -24)
                       : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(DType, EveryHalfWidensByItsDefinition) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const double want = f16_value(half);
    const auto got = static_cast<double>(f16_to_f32(half));
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << bits;
    } else {
      EXPECT_EQ(got, want) << bits;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << bits;
    }
  }
}

TEST(DType, EveryHalfSurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (!std::isnan(f16_to_f32(half))) {
      EXPECT_EQ(f32_to_f16(f16_to_f32(half)), half);
    } else {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f16_to_f32(half))))) << bits;
    }
    if (!std::isnan(bf16_to_f32(half))) {
      EXPECT_EQ(f32_to_bf16(bf16_to_f32(half)), half);
    } else {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(bf16_to_f32(half))))) << bits;
    }
  }
}

// Between two neighbours the middle goes to the even one, all else to the nearer one.
TEST(DType, NarrowingRoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7bffU; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits);
    const auto high = static_cast<std::uint16_t>(bits + 1);
    const float middle = (f16_to_f32(low) + f16_to_f32(high)) / 2.0F;  // exact
    EXPECT_EQ(f32_to_f16(middle), bits % 2 == 0 ? low : high) << bits;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 0.0F)), low) << bits;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 1e9F)), high) << bits;
    EXPECT_EQ(f32_to_f16(-middle), 0x8000U | (bits % 2 == 0 ? low : high)) << bits;
  }
  for (std::uint32_t bits = 0; bits < 0x7f7fU; ++bits) {
    const std::uint32_t middle = (bits << 16) | 0x8000U;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle)), bits + bits % 2) << bits;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle - 1)), bits) << bits;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle + 1)), bits + 1) << bits;
  }
}

TEST(DType, NarrowingEndsInInfinity) {
  EXPECT_EQ(f32_to_f16(65504.0F), 0x7bff);
  EXPECT_EQ(f32_to_f16(65519.0F), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30F), 0xfc00);
  EXPECT_EQ(f32_to_f16(1e-30F), 0);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(f32_to_f16(infinity), 0x7c00);
  EXPECT_EQ(f32_to_bf16(-infinity), 0xff80);
}

TEST(DType, NanStaysNanWhateverItsPayload) {
  for (const std::uint32_t bits : {0x7fc00000U, 0x7f800001U, 0xffffffffU}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan))));
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
  }
}

TEST(DType, ConvertsUnalignedArrays) {
  const std::array<float, 3> values = {1.0F, -2.5F, 0.125F};
  std::vector<std::byte> storage(32);
  convert(storage.data() + 1, DType::kF16, values.data(), DType::kF32, 3);
  std::vector<std::byte> bf16(32);
  convert(bf16.data() + 3, DType::kBF16, storage.data() + 1, DType::kF16, 3);
  std::array<float, 3> back{};
  convert(back.data(), DType::kF32, bf16.data() + 3, DType::kBF16, 3);
  EXPECT_EQ(back, values);
  convert(back.data(), DType::kF32, nullptr, DType::kF16, 0);
  EXPECT_EQ(back, values);
}

TEST(DType, HasNamesAndSizes) {
  EXPECT_EQ(name_of(DType::kF32), "f32");
  EXPECT_EQ(name_of(DType::kF16), "f16");
  EXPECT_EQ(name_of(DType::kBF16), "bf16");
  EXPECT_EQ(size_of(DType::kF32), 4U);
  EXPECT_EQ(size_of(DType::kF16), 2U);
  EXPECT_EQ(size_of(DType::kBF16), 2U);
}

}  // namespace
}  // namespace kvg
