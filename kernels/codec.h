#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/form.h"
#include "kernels/host_device.h"
#include "kernels/small_float.h"

// The arithmetic of every Code, one element at a time, the same bits on the host and on devices.
//
// To store a group: extremes_of() (or include() and merge() in any order), scale_of(), and for
// kLloyd with_levels(); then encode() and write_scale(). To read: read_scale(), decode().
//
// Compilers may contract a product with a sum into one operation, which rounds once instead of
// twice. Here no product that a sum follows is rounded at all: codes have few bits, factors are
// powers of two, squares are doubles.
namespace kvg::kernels {

/// What a group's scale is made of. NaNs do not count.
struct Extremes {
  float min = INFINITY;
  float max = -INFINITY;
  float largest = 0.0F;     ///< the x of largest |x|, the first of equals
  int largest_index = 0;    ///< of it
  double square_sum = 0.0;  ///< kLloyd alone reads it, rounded to float: the order of a sum of
                            ///< doubles shows in less than one vector of 10^7

  KVG_HOST_DEVICE void include(float x, int index) {
    min = x < min ? x : min;
    max = x > max ? x : max;
    const bool first = std::fabs(x) == std::fabs(largest) && index < largest_index;
    if (std::fabs(x) > std::fabs(largest) || first) {
      largest = x;
      largest_index = index;
    }
    square_sum += x == x ? static_cast<double>(x) * static_cast<double>(x) : 0.0;
  }
};

KVG_HOST_DEVICE inline Extremes merge(const Extremes& a, const Extremes& b) {
  Extremes both = {.min = b.min < a.min ? b.min : a.min,
                   .max = b.max > a.max ? b.max : a.max,
                   .largest = a.largest,
                   .largest_index = a.largest_index,
                   .square_sum = a.square_sum + b.square_sum};
  const float size_a = std::fabs(a.largest);
  const float size_b = std::fabs(b.largest);
  if (size_b > size_a || (size_b == size_a && b.largest_index < a.largest_index)) {
    both.largest = b.largest;
    both.largest_index = b.largest_index;
  }
  return both;
}

/// Of `count` elements, `stride` apart.
KVG_HOST_DEVICE inline Extremes extremes_of(const float* x, int count, std::ptrdiff_t stride = 1) {
  Extremes extremes;
  for (int i = 0; i < count; ++i) {
    extremes.include(x[i * stride], i);
  }
  return extremes;
}

/// A group's scale and zero, widened from what is stored.
struct GroupScale {
  float scale = 1.0F;
  float zero = 0.0F;
  float divisor = 1.0F;  ///< what encode() divides by; not stored, so unknown after read_scale()
};

/// Scales of 16 bits saturate at 65504, where plain f16 would give infinity and reading NaN.
KVG_HOST_DEVICE inline float as_half(float x) {
  return widened<kFiniteHalf>(narrowed<kFiniteHalf>(x));
}

namespace detail {

KVG_HOST_DEVICE constexpr float levels_above_zero(const Form& form) {
  return static_cast<float>((1 << (form.bits - 1)) - 1);
}

/// To the nearest integer, ties to even, of x in [0, 2^22].
KVG_HOST_DEVICE inline unsigned nearest(float x) {
  constexpr float kShift = 8388608.0F;  // the unit of a float from here on is 1
  return std::bit_cast<std::uint32_t>(add_rounded(x, kShift)) -
         std::bit_cast<std::uint32_t>(kShift);
}

/// A NaN becomes `low`.
KVG_HOST_DEVICE inline float clamped(float x, float low, float high) {
  const float raised = x > low ? x : low;
  return raised < high ? raised : high;
}

/// x / d; 0 for d 0.
KVG_HOST_DEVICE inline float scaled(float x, float divisor) {
  return divisor == 0.0F ? 0.0F : divide_rounded(x, divisor);
}

/// 2^(floor(log2 x) - 2), not below 2^-127, the smallest of E8M0: its code.
KVG_HOST_DEVICE inline std::uint32_t block_exponent(float x) {
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(x) >> 23U) & 0xffU;
  return exponent < 2U ? 0U : exponent - 2U;
}
KVG_HOST_DEVICE inline float power_of(std::uint32_t code) {
  return std::bit_cast<float>(code == 0U ? 0x00400000U : code << 23U);
}

/// Lloyd-Max levels of N(0, 1) above zero, ascending, in units of 10^-4 (kv_methods 2.38).
KVG_HOST_DEVICE constexpr int lloyd_units(int bits, unsigned index) {
  constexpr int kOf3[] = {2451, 7560, 13439, 21519};
  constexpr int kOf4[] = {1284, 3880, 6568, 9423, 12562, 16180, 20690, 27326};
  return bits == 3 ? kOf3[index] : kOf4[index];
}

/// Codes ascend with the levels: from the most negative, 0, to 2^bits - 1.
KVG_HOST_DEVICE constexpr int lloyd_units_of(int bits, unsigned code) {
  const unsigned half = 1U << static_cast<unsigned>(bits - 1);
  return code < half ? -lloyd_units(bits, half - 1U - code) : lloyd_units(bits, code - half);
}

/// Of two levels equally near the one closer to zero; 0 goes up.
KVG_HOST_DEVICE inline unsigned nearest_lloyd(int bits, float x) {
  const unsigned half = 1U << static_cast<unsigned>(bits - 1);
  unsigned index = 0;
  for (unsigned i = 0; i + 1U < half; ++i) {
    const int twice_middle = lloyd_units(bits, i) + lloyd_units(bits, i + 1U);
    index += std::fabs(x) > static_cast<float>(twice_middle / 20000.0) ? 1U : 0U;
  }
  return x < 0.0F ? half - 1U - index : half + index;
}

KVG_HOST_DEVICE inline unsigned encode_native(Code code, float x) {
  if (code == Code::kF32) {
    return std::bit_cast<std::uint32_t>(x);
  }
  return code == Code::kF16 ? narrowed<kHalf>(x) : narrowed<kBrain>(x);
}

/// kBlock8 and kBlock4, which divide by the scale as it was before it was rounded.
KVG_HOST_DEVICE inline unsigned encode_block(Code code, float x, float divisor) {
  const float y = scaled(x, divisor);
  if (code == Code::kBlock4) {
    return static_cast<unsigned>(clamped(add_rounded(y, 8.5F), 0.0F, 15.0F));
  }
  // The fraction is exact, so halves are told apart from what is just below.
  const float size = clamped(std::fabs(y), 0.0F, 127.0F);
  const auto whole = static_cast<unsigned>(size);
  const unsigned q = whole + (size - static_cast<float>(whole) >= 0.5F ? 1U : 0U);
  return y < 0.0F ? 128U - q : 128U + q;
}

}  // namespace detail

/// Of kNvfp4, kMxfp4 (of any scale) and kLloyd: what a code stands for before it is scaled.
KVG_HOST_DEVICE inline float level_of(const Form& form, unsigned code) {
  if (form.code == Code::kLloyd) {
    return static_cast<float>(detail::lloyd_units_of(form.bits, code) / 10000.0);
  }
  return widened<kFloatE2M1>(code);
}

/// kLloyd: a level's square in units of 10^-8, an integer, so that sums of them have no order.
KVG_HOST_DEVICE inline double level_square(const Form& form, unsigned code) {
  const int units = detail::lloyd_units_of(form.bits, code);
  return static_cast<double>(units) * static_cast<double>(units);
}

/// Of `count` elements that share a scale. kLloyd: all but `scale`, which with_levels() adds.
KVG_HOST_DEVICE inline GroupScale scale_of(const Form& form, const Extremes& of, int count) {
  if (form.group == 0) {
    return {};
  }
  const float size = std::fabs(of.largest);
  float d = 0.0F;
  switch (form.code) {
    case Code::kE4M3:
      d = as_half(divide_rounded(size, 448.0F));
      break;
    case Code::kE5M2:
      d = as_half(divide_rounded(size, 57344.0F));
      break;
    case Code::kSymmetric:
      d = as_half(divide_rounded(size, detail::levels_above_zero(form)));
      break;
    case Code::kAsymmetric: {
      const auto steps = static_cast<float>((1 << form.bits) - 1);
      d = as_half(divide_rounded(add_rounded(of.max, -of.min), steps));
      // + 0 makes -0 and 0, which are equally small, the same bits.
      return {.scale = d, .zero = add_rounded(as_half(of.min), 0.0F), .divisor = d};
    }
    case Code::kAbsMax:
      d = as_half(size);
      break;
    case Code::kBlock8:
      d = divide_rounded(size, 127.0F);
      return {.scale = as_half(d), .divisor = d};
    case Code::kBlock4:
      d = divide_rounded(of.largest, -8.0F);
      return {.scale = as_half(d), .divisor = d};
    case Code::kNvfp4:
      d = widened<kFloatE4M3>(narrowed<kFloatE4M3>(divide_rounded(size, 6.0F)));
      break;
    case Code::kMxfp4:
      d = detail::power_of(detail::block_exponent(size));
      break;
    case Code::kLloyd:
      d = static_cast<float>(std::sqrt(of.square_sum / count));
      return {.scale = 0.0F, .divisor = d};
    default:
      return {};
  }
  return {.scale = d, .divisor = d};
}

/// kLloyd: the scale that keeps the norm, from the sum of level_square() of the group's codes.
KVG_HOST_DEVICE inline GroupScale with_levels(GroupScale scale,
                                              const Extremes& of,
                                              double level_squares) {
  scale.scale = as_half(static_cast<float>(std::sqrt(of.square_sum / (level_squares * 1e-8))));
  return scale;
}

KVG_HOST_DEVICE inline unsigned encode(const Form& form, float x, const GroupScale& by) {
  switch (form.code) {
    case Code::kE4M3:
      return narrowed<kFloatE4M3>(detail::scaled(x, by.divisor));
    case Code::kE5M2:
      return narrowed<kFloatE5M2>(detail::scaled(x, by.divisor));
    case Code::kSymmetric: {
      const float m = detail::levels_above_zero(form);
      // Shifted by m first it could round twice; the sign apart, halves stay halves.
      const float y = detail::clamped(detail::scaled(x, by.divisor), -m, m);
      const auto zero = static_cast<unsigned>(m) + 1U;
      const unsigned q = detail::nearest(std::fabs(y));
      return y < 0.0F ? zero - q : zero + q;
    }
    case Code::kAsymmetric: {
      const auto m = static_cast<float>((1 << form.bits) - 1);
      const float y = detail::scaled(add_rounded(x, -by.zero), by.divisor);
      return detail::nearest(detail::clamped(y, 0.0F, m));
    }
    case Code::kAbsMax: {
      const float h = detail::levels_above_zero(form) + 1.0F;
      const float y = add_rounded(multiply_rounded(detail::scaled(x, by.divisor), h), h);
      return detail::nearest(detail::clamped(y, 0.0F, 2.0F * h - 1.0F));
    }
    case Code::kBlock8:
    case Code::kBlock4:
      return detail::encode_block(form.code, x, by.divisor);
    case Code::kNvfp4:
    case Code::kMxfp4:
      return narrowed<kFloatE2M1>(detail::scaled(x, by.divisor));
    case Code::kLloyd:
      return detail::nearest_lloyd(form.bits, detail::scaled(x, by.divisor));
    default:
      return detail::encode_native(form.code, x);
  }
}

/// What a code reads as.
KVG_HOST_DEVICE inline float decode(const Form& form, unsigned code, const GroupScale& by) {
  const auto q = static_cast<float>(code);
  switch (form.code) {
    case Code::kF32:
      return std::bit_cast<float>(static_cast<std::uint32_t>(code));
    case Code::kF16:
      return widened<kHalf>(code);
    case Code::kBF16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U);
    case Code::kE4M3:
      return multiply_rounded(widened<kFloatE4M3>(code), by.scale);
    case Code::kE5M2:
      return multiply_rounded(widened<kFloatE5M2>(code), by.scale);
    case Code::kAsymmetric:
      return add_rounded(multiply_rounded(q, by.scale), by.zero);
    case Code::kAbsMax: {
      const float h = detail::levels_above_zero(form) + 1.0F;
      return multiply_rounded(multiply_rounded(q - h, by.scale), 1.0F / h);
    }
    case Code::kSymmetric:
    case Code::kBlock8:
    case Code::kBlock4:
      // The code of zero is 2^(bits - 1) in all three.
      return multiply_rounded(q - (detail::levels_above_zero(form) + 1.0F), by.scale);
    case Code::kNvfp4:
    case Code::kMxfp4:
    case Code::kLloyd:
      break;
  }
  return multiply_rounded(level_of(form, code), by.scale);
}

/// Which of the scales in a row of `scales` is that of a channel.
KVG_HOST_DEVICE constexpr int scale_index(const Form& form, int channel) {
  return form.per_channel ? channel : (form.group == 0 ? 0 : channel / form.group);
}

/// Scale `index` of a row of StoredSide::scales. Does nothing for forms without scales.
KVG_HOST_DEVICE inline void write_scale(const Form& form,
                                        void* scales_row,
                                        int index,
                                        const GroupScale& scale) {
  if (form.group == 0) {
    return;
  }
  if (form.code == Code::kNvfp4 || form.code == Code::kMxfp4) {
    const std::uint32_t code =
        form.code == Code::kNvfp4
            ? narrowed<kFloatE4M3>(scale.scale)
            : (std::bit_cast<std::uint32_t>(scale.scale) >> 23U);  // 2^-127 is subnormal: 0
    static_cast<std::uint8_t*>(scales_row)[index] = static_cast<std::uint8_t>(code);
    return;
  }
  auto* const halves = static_cast<std::uint16_t*>(scales_row);
  const bool has_zero = form.code == Code::kAsymmetric;
  const int at = has_zero ? 2 * index : index;
  halves[at] = static_cast<std::uint16_t>(narrowed<kFiniteHalf>(scale.scale));
  if (has_zero) {
    halves[at + 1] = static_cast<std::uint16_t>(narrowed<kFiniteHalf>(scale.zero));
  }
}

KVG_HOST_DEVICE inline GroupScale read_scale(const Form& form, const void* scales_row, int index) {
  if (form.group == 0) {
    return {};
  }
  if (form.code == Code::kNvfp4 || form.code == Code::kMxfp4) {
    const unsigned code = static_cast<const std::uint8_t*>(scales_row)[index];
    return {.scale =
                form.code == Code::kNvfp4 ? widened<kFloatE4M3>(code) : detail::power_of(code)};
  }
  const auto* const halves = static_cast<const std::uint16_t*>(scales_row);
  if (form.code == Code::kAsymmetric) {
    return {.scale = widened<kHalf>(halves[2 * index]),
            .zero = widened<kHalf>(halves[2 * index + 1])};
  }
  return {.scale = widened<kHalf>(halves[index])};
}

/// The code of a channel in a row of StoredSide::codes.
KVG_HOST_DEVICE inline unsigned code_at(const Form& form, const void* row, int channel) {
  if (form.bits == 32) {
    return static_cast<const std::uint32_t*>(row)[channel];
  }
  if (form.bits == 16) {
    return static_cast<const std::uint16_t*>(row)[channel];
  }
  const auto* const bytes = static_cast<const std::uint8_t*>(row);
  const auto bit = static_cast<unsigned>(channel) * static_cast<unsigned>(form.bits);
  const unsigned shift = bit % 8U;
  unsigned code = static_cast<unsigned>(bytes[bit / 8U]) >> shift;
  if (shift + static_cast<unsigned>(form.bits) > 8U) {
    code |= static_cast<unsigned>(bytes[bit / 8U + 1U]) << (8U - shift);
  }
  return code & ((1U << static_cast<unsigned>(form.bits)) - 1U);
}

/// Writes it, leaving the other channels' bits. Codes of less than 8 bits share bytes, so a row has
/// one writer at a time.
KVG_HOST_DEVICE inline void put_code(const Form& form, void* row, int channel, unsigned code) {
  if (form.bits == 32) {
    static_cast<std::uint32_t*>(row)[channel] = code;
    return;
  }
  if (form.bits == 16) {
    static_cast<std::uint16_t*>(row)[channel] = static_cast<std::uint16_t>(code);
    return;
  }
  auto* const bytes = static_cast<std::uint8_t*>(row);
  const auto bits = static_cast<unsigned>(form.bits);
  for (unsigned bit = static_cast<unsigned>(channel) * bits, done = 0; done < bits;) {
    const unsigned shift = bit % 8U;
    const unsigned taken = bits - done < 8U - shift ? bits - done : 8U - shift;
    const unsigned mask = ((1U << taken) - 1U) << shift;
    const unsigned part = ((code >> done) << shift) & mask;
    bytes[bit / 8U] = static_cast<std::uint8_t>((bytes[bit / 8U] & ~mask) | part);
    bit += taken;
    done += taken;
  }
}

}  // namespace kvg::kernels
