#pragma once

#include <cuda_fp8.h>

#include "kernels/codec.h"
#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"

// A lane's share of a row of codes: loading it, and turning it into floats in registers.

namespace kvg::kernels {

/// Loads `Bytes` bytes, aligned to the largest power of two that divides their number.
template <int Bytes>
__device__ inline void load_words(const std::uint8_t* from,
                                  std::uint32_t (&words)[(Bytes + 3) / 4]) {
  if constexpr (Bytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < Bytes / 16; ++i) {
      const uint4 four = __ldg(reinterpret_cast<const uint4*>(from) + i);
      words[4 * i] = four.x;
      words[4 * i + 1] = four.y;
      words[4 * i + 2] = four.z;
      words[4 * i + 3] = four.w;
    }
  } else if constexpr (Bytes == 8) {
    const uint2 two = __ldg(reinterpret_cast<const uint2*>(from));
    words[0] = two.x;
    words[1] = two.y;
  } else if constexpr (Bytes == 4) {
    words[0] = __ldg(reinterpret_cast<const std::uint32_t*>(from));
  } else {
    static_assert(Bytes == 6);
    const auto* halves = reinterpret_cast<const std::uint16_t*>(from);
    words[0] = __ldg(halves) | static_cast<std::uint32_t>(__ldg(halves + 1)) << 16U;
    words[1] = __ldg(halves + 2);
  }
}

/// Floats of 2^23 and more have a unit of 1: integers in the low bits of one, less what 0 would be.
/// `exponent` is kUnitExponent, as an argument of the kernel: a logical operation has room for one
/// constant, which is the mask.
__device__ inline float from_bits(std::uint32_t word,
                                  std::uint32_t mask,
                                  std::uint32_t exponent,
                                  float origin) {
  return __uint_as_float((word & mask) | exponent) - origin;
}

/// `C` codes of a row. widen() yields code x place_weight(): codes of less than 8 bits stay where
/// they are in their word.
template <FormClass Class, int C>
struct Codes {
  static constexpr int kBits = bits_of(Class);
  static constexpr int kBytes = C * kBits / 8;
  std::uint32_t words[(kBytes + 3) / 4];

  __device__ void load(const std::uint8_t* from) { load_words<kBytes>(from, words); }

  /// Of a pruned row, channels from `first` on; those beyond its end read as 0.
  __device__ void load_pruned(const std::uint8_t* row, int first, int channels) {
    constexpr int kPerWord = 32 / kBits;
    if (channels % C == 0 && first < channels) {
      load(row + first * kBits / 8);
      return;
    }
#pragma unroll
    for (int i = 0; i < C / kPerWord; ++i) {
      words[i] = 0;
#pragma unroll
      for (int j = 0; j < kPerWord; ++j) {
        const int channel = first + i * kPerWord + j;
        if (channel < channels) {
          if constexpr (kBits == 32) {
            words[i] = reinterpret_cast<const std::uint32_t*>(row)[channel];
          } else {
            words[i] |=
                static_cast<std::uint32_t>(reinterpret_cast<const std::uint16_t*>(row)[channel])
                << (16 * j);
          }
        }
      }
    }
  }

  /// What widen() multiplies code `c` by.
  static constexpr float place_weight(int c) {
    return kBits == 4 && !is_table(Class) ? static_cast<float>(1 << (4 * (c % 4)))
           : kBits == 2                   ? static_cast<float>(1 << (2 * (c % 8)))
                                          : 1.0F;
  }

  /// `levels`: kTable's in shared memory, [codes][kWarp], this lane's column. `exponent`: as
  /// from_bits() takes it.
  __device__ void widen(const AttendSide& side,
                        const float* levels,
                        std::uint32_t exponent,
                        float (&out)[C]) const {
    if constexpr (kBits == 32) {
#pragma unroll
      for (int i = 0; i < C; ++i) {
        out[i] = __uint_as_float(words[i]);
      }
    } else if constexpr (kBits == 16) {
      widen_16(out);
    } else if constexpr (Class == FormClass::kInt8) {
#pragma unroll
      for (int i = 0; i < C; ++i) {
        const auto place = static_cast<unsigned>(i % 4);
        // The byte, two zeros, the exponent.
        const std::uint32_t bits = __byte_perm(words[i / 4], exponent, 0x7440U | place);
        out[i] = __uint_as_float(bits) - side.origin[0];
      }
    } else if constexpr (kBits == 8) {
      widen_fp8(out);
    } else if constexpr (is_table(Class)) {
#pragma unroll
      for (int i = 0; i < C; ++i) {
        out[i] = levels[code_of(i) * kWarp];
      }
    } else {
      widen_places(side, exponent, out);
    }
  }

 private:
  __device__ std::uint32_t code_of(int i) const {
    constexpr std::uint32_t kMask = (1U << kBits) - 1U;
    const int word = i * kBits / 32;
    const int shift = i * kBits % 32;
    if (shift + kBits > 32) {
      return __funnelshift_r(words[word], words[word + 1], shift) & kMask;
    }
    return (words[word] >> shift) & kMask;
  }

  __device__ void widen_16(float (&out)[C]) const {
    constexpr bool kIsHalf = Class == FormClass::kF16 || Class == FormClass::kPrunedF16;
#pragma unroll
    for (int i = 0; i < C / 2; ++i) {
      float pair[2];
      if constexpr (kIsHalf) {
        widen_word(words[i], pair, __half{});
      } else {
        widen_word(words[i], pair, __nv_bfloat16{});
      }
      out[2 * i] = pair[0];
      out[2 * i + 1] = pair[1];
    }
  }

  __device__ void widen_fp8(float (&out)[C]) const {
#pragma unroll
    for (int i = 0; i < C / 2; ++i) {
      std::uint32_t halves;
      if constexpr (Class == FormClass::kE5M2) {
        // The upper byte of an f16.
        halves = __byte_perm(words[i / 2], 0, i % 2 == 0 ? 0x1404U : 0x3424U);
      } else {
        const auto two = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (16 * (i % 2)));
        const __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3);
        halves = raw.x | static_cast<std::uint32_t>(raw.y) << 16U;
      }
      float pair[2];
      widen_word(halves, pair, __half{});
      out[2 * i] = pair[0];
      out[2 * i + 1] = pair[1];
    }
  }

  // One mask and one subtraction a code: the upper half of a word is moved down once, and codes
  // within a half stay in place.
  __device__ void widen_places(const AttendSide& side,
                               std::uint32_t exponent,
                               float (&out)[C]) const {
    constexpr int kPlaces = 16 / kBits;
    constexpr std::uint32_t kMask = (1U << kBits) - 1U;
#pragma unroll
    for (int half = 0; half < C / kPlaces; ++half) {
      const std::uint32_t bits = half % 2 == 0 ? words[half / 2] : words[half / 2] >> 16U;
#pragma unroll
      for (int place = 0; place < kPlaces; ++place) {
        out[half * kPlaces + place] =
            from_bits(bits, kMask << (place * kBits), exponent, side.origin[place]);
      }
    }
  }
};

/// x = scale q + zero.
struct Affine {
  float scale;
  float zero;
};

/// A scale as Scales holds it: f16 scale and zero in the lower and the upper half, except for the
/// scales of 8 bits that kTable may have.
template <FormClass Class>
__device__ inline Affine affine_of(const AttendSide& side, std::uint32_t stored) {
  if constexpr (is_table(Class)) {
    if (side.scale_kind == ScaleKind::kE4M3) {
      return {widened<kFloatE4M3>(stored), 0.0F};
    }
    if (side.scale_kind == ScaleKind::kE8M0) {
      return {detail::power_of(stored), 0.0F};
    }
  }
  float pair[2];
  widen_word(stored, pair, __half{});
  return {pair[0] * side.multiplier, pair[1]};
}

/// A lane's scale in each of `Rows` rows, as stored.
template <FormClass Class, int Rows>
struct Scales {
  std::uint32_t stored[Rows];

  /// `at(r)`: where the scale in row r is.
  template <typename At>
  __device__ void load(const AttendSide& side, const At& at) {
    if (side.scale_kind == ScaleKind::kF16Zero) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        stored[r] = __ldg(reinterpret_cast<const std::uint32_t*>(at(r)));
      }
    } else if (side.scale_kind == ScaleKind::kF16) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        stored[r] = __ldg(reinterpret_cast<const std::uint16_t*>(at(r)));
      }
    } else if (!is_table(Class) || side.scale_kind == ScaleKind::kNone) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        stored[r] = 0x3C00U;  // 1 in f16
      }
    } else {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        stored[r] = __ldg(at(r));
      }
    }
  }
};

/// `C` unquantised elements of the compute dtype, 16-byte aligned where C is a multiple of 8.
template <int C>
__device__ inline void load_waiting(const void* rows,
                                    DType dtype,
                                    std::int64_t first,
                                    float (&out)[C]) {
  const auto* bytes = static_cast<const std::uint8_t*>(rows);
  if (dtype == DType::kF32) {
    std::uint32_t words[C];
    load_words<4 * C>(bytes + 4 * first, words);
#pragma unroll
    for (int i = 0; i < C; ++i) {
      out[i] = __uint_as_float(words[i]);
    }
    return;
  }
  std::uint32_t words[C / 2];
  load_words<2 * C>(bytes + 2 * first, words);
#pragma unroll
  for (int i = 0; i < C / 2; ++i) {
    float halves[2];
    float brains[2];
    widen_word(words[i], halves, __half{});
    widen_word(words[i], brains, __nv_bfloat16{});
    out[2 * i] = dtype == DType::kF16 ? halves[0] : brains[0];
    out[2 * i + 1] = dtype == DType::kF16 ? halves[1] : brains[1];
  }
}

}  // namespace kvg::kernels
