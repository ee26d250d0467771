#pragma once

#include <bit>
#include <cstdint>

#include "kernels/host_device.h"

// Floats of 16 bits and fewer, in operations that give the same bits on every processor.
namespace kvg::kernels {

/// Single operations, each rounded, never contracted into others. The host's compiler may contract
/// a product with a sum; codec.h says why that cannot show.
KVG_HOST_DEVICE inline float add_rounded(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
KVG_HOST_DEVICE inline float multiply_rounded(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
KVG_HOST_DEVICE inline float divide_rounded(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

/// A sign, an exponent, and `mantissa` bits, in that order from the top.
struct SmallFloat {
  int mantissa = 0;
  int bias = 0;
  int sign = 0;                ///< the sign's bit
  std::uint32_t overflow = 0;  ///< magnitude that stands for all above the largest
  std::uint32_t nan = 0;
  std::uint32_t special = 0;  ///< magnitudes from here on are infinity (this one, if even) or NaN
};

/// With infinity, as IEEE 754 has it.
inline constexpr SmallFloat kHalf = {
    .mantissa = 10, .bias = 15, .sign = 15, .overflow = 0x7c00, .nan = 0x7e00, .special = 0x7c00};
/// Saturates at 65504.
inline constexpr SmallFloat kFiniteHalf = {
    .mantissa = 10, .bias = 15, .sign = 15, .overflow = 0x7bff, .nan = 0x7e00, .special = 0x7c00};
/// bfloat16, with infinity.
inline constexpr SmallFloat kBrain = {
    .mantissa = 7, .bias = 127, .sign = 15, .overflow = 0x7f80, .nan = 0x7fc0, .special = 0x7f80};
inline constexpr SmallFloat kFloatE4M3 = {
    .mantissa = 3, .bias = 7, .sign = 7, .overflow = 0x7e, .nan = 0x7f, .special = 0x7f};
inline constexpr SmallFloat kFloatE5M2 = {
    .mantissa = 2, .bias = 15, .sign = 7, .overflow = 0x7b, .nan = 0x7e, .special = 0x7c};
/// Has neither infinity nor NaN; a NaN becomes the largest, 6.
inline constexpr SmallFloat kFloatE2M1 = {
    .mantissa = 1, .bias = 1, .sign = 3, .overflow = 7, .nan = 7, .special = 8};

/// To nearest, ties to even.
template <SmallFloat kFormat>
KVG_HOST_DEVICE inline std::uint32_t narrowed(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits >> 31U) << kFormat.sign;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) {
    return sign | kFormat.nan;
  }
  constexpr auto kSmallestNormal = static_cast<std::uint32_t>(128 - kFormat.bias) << 23U;
  std::uint32_t code = 0;
  if (magnitude < kSmallestNormal) {
    // A sum with 2^23 times the unit of the format's subnormals rounds to that unit.
    constexpr auto kShift = static_cast<std::uint32_t>(151 - kFormat.bias - kFormat.mantissa)
                            << 23U;
    const float shifted =
        add_rounded(std::bit_cast<float>(magnitude), std::bit_cast<float>(kShift));
    code = std::bit_cast<std::uint32_t>(shifted) - kShift;
  } else {
    // Rounding up may carry into the exponent, which is right.
    constexpr auto kDrop = static_cast<std::uint32_t>(23 - kFormat.mantissa);
    constexpr auto kRebias = static_cast<std::uint32_t>(127 - kFormat.bias) << kFormat.mantissa;
    const std::uint32_t odd = (magnitude >> kDrop) & 1U;
    code = ((magnitude + (1U << (kDrop - 1U)) - 1U + odd) >> kDrop) - kRebias;
  }
  return sign | (code < kFormat.overflow ? code : kFormat.overflow);
}

/// Exact.
template <SmallFloat kFormat>
KVG_HOST_DEVICE inline float widened(std::uint32_t code) {
  const std::uint32_t magnitude = code & ((1U << kFormat.sign) - 1U);
  const std::uint32_t sign = ((code >> kFormat.sign) & 1U) << 31U;
  const std::uint32_t bits = magnitude << static_cast<std::uint32_t>(23 - kFormat.mantissa);
  if (magnitude >= kFormat.special) {
    return std::bit_cast<float>(sign | 0x7f800000U | (bits & 0x007fffffU));
  }
  // The exponent's bias differs; the product is exact, subnormals included.
  constexpr auto kRebias = static_cast<std::uint32_t>(254 - kFormat.bias) << 23U;
  const float value = multiply_rounded(std::bit_cast<float>(bits), std::bit_cast<float>(kRebias));
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

}  // namespace kvg::kernels
