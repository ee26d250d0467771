#pragma once

#include <cstdint>

#include "kernels/cuda/element.cuh"

// Results that the blocks of one kernel leave for each other without meeting: a result says by
// itself that it is there. Its place is all ones before, which no result is: what instructions make
// of a not-a-number has the sign bit clear. So nothing has to be seen in any order, and waiting for
// the last result and reading it are one round trip to the second-level cache, where a barrier has
// a fence, an arrival, its being seen, and then the read.

namespace kvg::kernels {

/// Leaves a result.
__device__ inline void post(float* to, float value) {
  asm volatile("st.relaxed.gpu.global.f32 [%0], %1;" ::"l"(to), "f"(value) : "memory");
}
template <typename T>
__device__ inline void post(T* to, T value) {
  static_assert(sizeof(T) == sizeof(std::uint16_t));
  asm volatile("st.relaxed.gpu.global.u16 [%0], %1;" ::"l"(to),
               "h"(*reinterpret_cast<const std::uint16_t*>(&value))
               : "memory");
}

/// Of one's own element, which others lie beside that change.
__device__ inline float read_own(const float* from) {
  float value = 0.0F;
  asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(value) : "l"(from) : "memory");
  return value;
}

__device__ inline uint4 peek(const uint4* from) {
  uint4 pack;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(pack.x), "=r"(pack.y), "=r"(pack.z), "=r"(pack.w)
               : "l"(from)
               : "memory");
  return pack;
}

/// Whether a result of type T is still missing from a word.
template <typename T>
__device__ inline bool is_missing(std::uint32_t word) {
  if constexpr (sizeof(T) == sizeof(word)) {
    return word == 0xFFFFFFFFU;
  } else {
    // A half of the complement is zero.
    return ((~word - 0x00010001U) & word & 0x80008000U) != 0;
  }
}
template <typename T>
__device__ inline bool is_missing(const uint4& pack) {
  return is_missing<T>(pack.x) || is_missing<T>(pack.y) || is_missing<T>(pack.z) ||
         is_missing<T>(pack.w);
}

/// Some packs of a row.
struct PackStride {
  int first;
  int step;
  int end;
};

/// Those of results of type T, when all are there; zeros from the end on.
template <typename T, int Count>
__device__ inline void await_packs(const uint4* row, PackStride which, uint4 (&packs)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    const int at = which.first + i * which.step;
    packs[i] = at < which.end ? peek(row + at) : uint4{};
  }
  bool missing = false;
  do {
    missing = false;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      if (is_missing<T>(packs[i])) {
        packs[i] = peek(row + which.first + i * which.step);
        missing = true;
      }
    }
  } while (missing);
}

}  // namespace kvg::kernels
