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
typedef std::int32_t Ints __attribute__((vector_size(64)));
typedef float Eight __attribute__((vector_size(32)));
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
  return mask ? yes : no;
}

/// Halves of `kType` in the upper 16 bits of each lane (the lower ones are zero).
template <DType kType>
KVG_INLINE Floats widen_upper(const Bits& upper) {
  if constexpr (kType == DType::kBF16) {
    return bits_as<Floats>(upper);
  }
  // Of f16's three cases none touches an f32 subnormal, which x86 handles a hundred times slower:
  // a normal moves its exponent by 112; a subnormal becomes 2^-14 (1 + m), less 2^-14; infinity
  // and NaN move by 224.
  const Bits magnitude = (upper >> 3) & 0x0fffe000U;
  const Floats normal = bits_as<Floats>(magnitude + 0x38000000U);
  const Floats subnormal = bits_as<Floats>(magnitude + 0x38800000U) - 0x1p-14F;
  const Floats special = bits_as<Floats>(magnitude + 0x70000000U);
  // AVX2 compares signed integers alone; unsigned ones would go lane by lane.
  const Ints size = bits_as<Ints>(magnitude);
  const Floats value = size < 0x00800000 ? subnormal : normal;
  const Floats any = size >= 0x0f800000 ? special : value;
  return bits_as<Floats>(bits_as<Bits>(any) | (upper & 0x80000000U));
}

/// Elements 0, 2, .. of the 32 in a and b, and 1, 3, .. By halves of a vector: AVX2 has no wider
/// shuffle, and the compiler would go lane by lane.
KVG_INLINE Floats even_lanes(const Floats& a, const Floats& b) {
  Eight in[4];
  std::memcpy(&in[0], &a, sizeof(a));
  std::memcpy(&in[2], &b, sizeof(b));
  const Eight out[2] = {__builtin_shufflevector(in[0], in[1], 0, 2, 4, 6, 8, 10, 12, 14),
                        __builtin_shufflevector(in[2], in[3], 0, 2, 4, 6, 8, 10, 12, 14)};
  return load_lanes<Floats>(out);
}
KVG_INLINE Floats odd_lanes(const Floats& a, const Floats& b) {
  Eight in[4];
  std::memcpy(&in[0], &a, sizeof(a));
  std::memcpy(&in[2], &b, sizeof(b));
  const Eight out[2] = {__builtin_shufflevector(in[0], in[1], 1, 3, 5, 7, 9, 11, 13, 15),
                        __builtin_shufflevector(in[2], in[3], 1, 3, 5, 7, 9, 11, 13, 15)};
  return load_lanes<Floats>(out);
}
/// The other way: a[0], b[0], a[1], .. b[7], and a[8] .. b[15].
KVG_INLINE Floats interleaved_low(const Floats& a, const Floats& b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
KVG_INLINE Floats interleaved_high(const Floats& a, const Floats& b) {
  return __builtin_shufflevector(
      a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/// The sums of four vectors' lanes. The order of additions is the same for each of them.
KVG_INLINE Quad sums_of(const Floats& a, const Floats& b, const Floats& c, const Floats& d) {
  const Floats ab =
      __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
      __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  const Floats cd =
      __builtin_shufflevector(c, d, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
      __builtin_shufflevector(c, d, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  const Floats abcd =
      __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
      __builtin_shufflevector(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
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
