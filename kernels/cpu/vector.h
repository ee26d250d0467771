#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/core/dtype.h"

// Vectors of 32 bytes in the compiler's own notation: one ymm or two xmm registers. Wider ones
// would go through memory, lane by lane, wherever a machine lacks AVX-512. KVG_CLONES compiles a
// function once for each level of x86-64, and the loader takes what the machine has; what it calls
// must be inlined into it, hence KVG_INLINE. Sanitizers start after the loader asks, and other
// processors have no levels.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(KVG_SANITIZED)
#define KVG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define KVG_HAS_F16C (__builtin_cpu_supports("f16c") != 0)
#else
#define KVG_CLONES
#define KVG_HAS_F16C false
#endif
#define KVG_INLINE inline __attribute__((always_inline))

// Vectors stay inside a file, so the ABI of passing them does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace kvg::kernels::cpu {

typedef float Floats __attribute__((vector_size(32)));
typedef std::uint32_t Bits __attribute__((vector_size(32)));
typedef std::int32_t Ints __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(32)));
typedef std::uint64_t WideBits __attribute__((vector_size(32)));
typedef std::uint16_t Halves __attribute__((vector_size(16)));
typedef std::uint64_t Pair __attribute__((vector_size(16)));
typedef float Quad __attribute__((vector_size(16)));

inline constexpr std::size_t kLanes = sizeof(Floats) / sizeof(float);
inline constexpr std::size_t kDoubleLanes = sizeof(Doubles) / sizeof(double);

/// `count` elements from `in`, at most a vector's; the others are zero. No alignment needed.
template <typename Vector, typename T>
KVG_INLINE Vector load_lanes(const T* in, std::size_t count = sizeof(Vector) / sizeof(T)) {
  Vector lanes = {};
  std::memcpy(&lanes, in, count == sizeof(Vector) / sizeof(T) ? sizeof(Vector) : count * sizeof(T));
  return lanes;
}

template <typename Vector, typename T>
KVG_INLINE void store_lanes(T* out,
                            const Vector& lanes,
                            std::size_t count = sizeof(Vector) / sizeof(T)) {
  std::memcpy(
      out, &lanes, count == sizeof(Vector) / sizeof(T) ? sizeof(Vector) : count * sizeof(T));
}

KVG_INLINE Doubles load_doubles(const double* in, std::size_t count = kDoubleLanes) {
  return load_lanes<Doubles>(in, count);
}
KVG_INLINE Doubles load_doubles(const float* in, std::size_t count = kDoubleLanes) {
  return __builtin_convertvector(load_lanes<Quad>(in, count), Doubles);
}

template <typename To, typename From>
KVG_INLINE To bits_as(const From& lanes) {
  return (To)lanes;  // NOLINT: the notation of vector types
}

KVG_INLINE Floats broadcast(float value) {
  return Floats{} + value;
}

KVG_INLINE Floats joined(const Quad& low, const Quad& high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/// `kF16c`: by the instruction for it, which some processors below x86-64-v3 lack.
template <DType kType, bool kF16c>
KVG_INLINE Floats widen_lanes(const Halves& halves) {
#ifdef __x86_64__
  if constexpr (kType == DType::kF16 && kF16c) {
    const auto both = bits_as<Pair>(halves);
    Quad low;
    Quad high;
    asm("vcvtph2ps %1, %0" : "=x"(low) : "x"(both));
    asm("vcvtph2ps %1, %0" : "=x"(high) : "x"(__builtin_shufflevector(both, both, 1, 0)));
    return joined(low, high);
  }
#endif
  if constexpr (kType == DType::kBF16) {
    const Halves low = __builtin_shufflevector(Halves{}, halves, 0, 8, 1, 9, 2, 10, 3, 11);
    const Halves high = __builtin_shufflevector(Halves{}, halves, 4, 12, 5, 13, 6, 14, 7, 15);
    return joined(bits_as<Quad>(low), bits_as<Quad>(high));
  }
  const Bits bits = __builtin_convertvector(halves, Bits);
  // Of f16's three cases none touches an f32 subnormal, which x86 handles a hundred times slower:
  // a normal moves its exponent by 112; a subnormal becomes 2^-14 (1 + m), less 2^-14; infinity
  // and NaN move by 224.
  const Bits magnitude = (bits & 0x7fffU) << 13;
  const Floats normal = bits_as<Floats>(magnitude + 0x38000000U);
  const Floats subnormal = bits_as<Floats>(magnitude + 0x38800000U) - 0x1p-14F;
  const Floats special = bits_as<Floats>(magnitude + 0x70000000U);
  // AVX2 compares signed integers alone; unsigned ones would go lane by lane.
  const Ints size = bits_as<Ints>(magnitude);
  const Floats finite = size < 0x00800000 ? subnormal : normal;
  const Floats any = size >= 0x0f800000 ? special : finite;
  return bits_as<Floats>(bits_as<Bits>(any) | ((bits & 0x8000U) << 16));
}

/// The sums of four vectors' lanes. The order of additions is the same for each of them.
KVG_INLINE Quad sums_of(const Floats& a, const Floats& b, const Floats& c, const Floats& d) {
  const Floats ab = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13) +
                    __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  const Floats cd = __builtin_shufflevector(c, d, 0, 8, 1, 9, 4, 12, 5, 13) +
                    __builtin_shufflevector(c, d, 2, 10, 3, 11, 6, 14, 7, 15);
  const Floats abcd = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
                      __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
  return __builtin_shufflevector(abcd, abcd, 0, 1, 2, 3) +
         __builtin_shufflevector(abcd, abcd, 4, 5, 6, 7);
}

KVG_INLINE float sum_of(const Floats& a) {
  return sums_of(a, a, a, a)[0];
}
KVG_INLINE double sum_of(const Doubles& a) {
  return (a[0] + a[1]) + (a[2] + a[3]);
}

/// a where it is larger, else b.
KVG_INLINE Floats larger(const Floats& a, const Floats& b) {
  return a > b ? a : b;
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
  const Floats capped = x > 88.0F ? broadcast(88.0F) : x;
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
  return x < -87.0F ? Floats{} : scaled;
}

/// e^x for x <= 0; below -708 it is 0. The series to x^13 on [-ln 2 / 2, ln 2 / 2] leaves 4e-18.
KVG_INLINE Doubles exp_of(const Doubles& x) {
  const Doubles kept = x < -708.0 ? Doubles{} : x;
  // Adding 1.5 x 2^52 leaves the nearest integer in the low bits.
  const Doubles shifted = kept * 1.4426950408889634 + 0x1.8p52;
  const Doubles n = shifted - 0x1.8p52;
  const Doubles r = (kept - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  Doubles p = Doubles{} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const Doubles scaled =
      bits_as<Doubles>(bits_as<WideBits>(p) + (bits_as<WideBits>(shifted) << 52));
  return x < -708.0 ? Doubles{} : scaled;
}

}  // namespace kvg::kernels::cpu
