#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace kvg::kernels {

/// 16 bytes of T: what one thread loads or stores at once. Kept as words, so that narrow elements
/// do not take a register each.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(T);
  std::uint32_t words[4];
};

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(__half value) {
  return __half2float(value);
}
__device__ inline float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

template <typename T>
__device__ inline T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// The one or two elements of a word.
__device__ inline void widen_word(std::uint32_t word, float (&out)[1], float) {
  out[0] = __uint_as_float(word);
}
__device__ inline void widen_word(std::uint32_t word, float (&out)[2], __half) {
  const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&word));
  out[0] = pair.x;
  out[1] = pair.y;
}
__device__ inline void widen_word(std::uint32_t word, float (&out)[2], __nv_bfloat16) {
  out[0] = __uint_as_float(word << 16);
  out[1] = __uint_as_float(word & 0xffff0000U);
}

template <typename T>
__device__ inline void widen(const Pack<T>& pack, float (&out)[Pack<T>::kCount]) {
  constexpr int kPerWord = 4 / sizeof(T);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float elements[kPerWord];
    widen_word(pack.words[i], elements, T{});
#pragma unroll
    for (int j = 0; j < kPerWord; ++j) {
      out[i * kPerWord + j] = elements[j];
    }
  }
}

template <typename T>
__device__ inline Pack<T> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T>*>(from);
}

/// Element `at` of an array whose type is known when the kernel runs.
__device__ inline float element_at(const void* from, DType dtype, std::int64_t at) {
  return dtype == DType::kF32   ? static_cast<const float*>(from)[at]
         : dtype == DType::kF16 ? to_float(static_cast<const __half*>(from)[at])
                                : to_float(static_cast<const __nv_bfloat16*>(from)[at]);
}

__device__ inline void put_element(void* to, DType dtype, std::int64_t at, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(to)[at] = value;
  } else if (dtype == DType::kF16) {
    static_cast<__half*>(to)[at] = from_float<__half>(value);
  } else {
    static_cast<__nv_bfloat16*>(to)[at] = from_float<__nv_bfloat16>(value);
  }
}

/// Calls `use` with a value of the element type that `dtype` names.
template <typename Use>
void dispatch_element(DType dtype, Use&& use) {
  switch (dtype) {
    case DType::kF32:
      return use(float{});
    case DType::kF16:
      return use(__half{});
    case DType::kBF16:
      return use(__nv_bfloat16{});
  }
  throw InvalidArgument("unknown element type");
}

inline bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

}  // namespace kvg::kernels
