#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/core/dtype.h"

// Vectors of 16 lanes in the compiler's own notation: one zmm, two ymm or four xmm registers.
// KVG_CLONES compiles a function once for each level of x86-64, and the loader takes what the
// machine has; what it calls must be inlined into it, hence KVG_INLINE. Sanitizers start after
// the loader asks, and other processors have no levels.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(KVG_SANITIZED)
#define KVG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVG_CLONES
#endif
#define KVG_INLINE inline __attribute__((always_inline))

// Vectors stay inside a file, so the ABI of passing them does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace kvg::kernels::cpu {

inline constexpr std::size_t kLanes = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef std::uint32_t Bits __attribute__((vector_size(64)));
typedef std::uint16_t Halves __attribute__((vector_size(32)));
typedef float Quad __attribute__((vector_size(16)));

/// `count` of `kLanes` elements from `in`, the others zero; no alignment needed.
template <typename Vector, typename T>
KVG_INLINE Vector load_lanes(const T* in, std::size_t count = kLanes) {
  Vector lanes = {};
  std::memcpy(&lanes, in, count == kLanes ? sizeof(Vector) : count * sizeof(T));
  return lanes;
}

KVG_INLINE void store_lanes(float* out, const Floats& lanes, std::size_t count = kLanes) {
  std::memcpy(out, &lanes, count == kLanes ? sizeof(Floats) : count * sizeof(float));
}

template <typename To, typename From>
KVG_INLINE To bits_as(const From& lanes) {
  return (To)lanes;  // NOLINT: the notation of vector types
}

KVG_INLINE Floats broadcast(float value) {
  return Floats{} + value;
}

KVG_INLINE Floats choose(const Bits& mask, const Floats& yes, const Floats& no) {
  return bits_as<Floats>((bits_as<Bits>(yes) & mask) | (bits_as<Bits>(no) & ~mask));
}

template <DType kType>
KVG_INLINE Floats widen_lanes(const void* in, std::size_t index, std::size_t count = kLanes) {
  if constexpr (kType == DType::kF32) {
    return load_lanes<Floats>(static_cast<const float*>(in) + index, count);
  }
  const Halves halves = load_lanes<Halves>(static_cast<const std::uint16_t*>(in) + index, count);
  const Bits bits = __builtin_convertvector(halves, Bits);
  if constexpr (kType == DType::kBF16) {
    return bits_as<Floats>(bits << 16);
  }
  // Of f16's three cases none touches an f32 subnormal, which x86 handles a hundred times slower:
  // a normal moves its exponent by 112; a subnormal becomes 2^-14 (1 + m), less 2^-14; infinity
  // and NaN move by 224.
  const Bits magnitude = (bits & 0x7fffU) << 13;
  const Bits exponent = bits & 0x7c00U;
  const Floats normal = bits_as<Floats>(magnitude + 0x38000000U);
  const Floats subnormal = bits_as<Floats>(magnitude + 0x38800000U) - 0x1p-14F;
  const Floats special = bits_as<Floats>(magnitude + 0x70000000U);
  Floats value = choose(bits_as<Bits>(exponent == 0U), subnormal, normal);
  value = choose(bits_as<Bits>(exponent == 0x7c00U), special, value);
  return bits_as<Floats>(bits_as<Bits>(value) | ((bits & 0x8000U) << 16));
}

/// The sums of four vectors' lanes. The order of additions is the same for each of them.
KVG_INLINE Quad sums_of(const Floats& a, const Floats& b, const Floats& c, const Floats& d) {
  const Bits even = {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30};
  const Bits odd = even + 1U;
  const Floats ab = __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
  const Floats cd = __builtin_shuffle(c, d, even) + __builtin_shuffle(c, d, odd);
  const Bits low = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29};
  const Bits high = low + 2U;
  const Floats abcd = __builtin_shuffle(ab, cd, low) + __builtin_shuffle(ab, cd, high);
  Quad quads[4];
  std::memcpy(&quads, &abcd, sizeof(abcd));
  return (quads[0] + quads[2]) + (quads[1] + quads[3]);
}

KVG_INLINE float sum_of(const Floats& a) {
  return sums_of(a, a, a, a)[0];
}

/// a where it is larger, else b.
KVG_INLINE Floats larger(const Floats& a, const Floats& b) {
  return choose(bits_as<Bits>(a > b), a, b);
}

KVG_INLINE float largest_of(const Floats& a) {
  float best = a[0];
  for (std::size_t lane = 1; lane < kLanes; ++lane) {
    best = a[lane] > best ? a[lane] : best;
  }
  return best;
}

/// e^x to about one unit in the last place; below -87 it is 0, above 88 it is e^88, a NaN stays.
KVG_INLINE Floats exp_of(const Floats& x) {
  const Floats capped = choose(bits_as<Bits>(x > 88.0F), broadcast(88.0F), x);
  const Floats kept = larger(broadcast(-87.0F), capped);
  // Adding 1.5 x 2^23 leaves the nearest integer in the low bits.
  const Floats shifted = kept * 1.44269504F + 12582912.0F;
  const Floats n = shifted - 12582912.0F;
  const Floats r = (kept - n * 0.693359375F) + n * 2.12194440e-4F;
  Floats p = broadcast(1.0F / 5040.0F);
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const Floats scaled = bits_as<Floats>(bits_as<Bits>(p) + (bits_as<Bits>(shifted) << 23));
  return choose(bits_as<Bits>(x < -87.0F), Floats{}, scaled);
}

}  // namespace kvg::kernels::cpu
