#pragma once

#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "kernels/cuda/attend_args.cuh"

// Codes as matrix units take them: pairs of 16-bit floats, one pair a register. A word has two
// halves, and every half as many places as codes fit into 16 bits; a pair is what both halves have
// at one place. So a word of one row yields pairs of its channels, and a word put together from two
// rows yields pairs of the same channel.

namespace kvg::kernels {

__device__ inline std::uint32_t fma_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// The lower and the upper halves of two words.
__device__ inline std::uint32_t lower_halves(std::uint32_t a, std::uint32_t b) {
  return __byte_perm(a, b, 0x5410U);
}
__device__ inline std::uint32_t upper_halves(std::uint32_t a, std::uint32_t b) {
  return __byte_perm(a, b, 0x7632U);
}

template <FormClass Class>
struct Places {
  static constexpr int kBits = bits_of(Class);
  static constexpr int kCount = 16 / kBits;
  /// What pairs are of. Integers and levels up to 8 bits are exact in f16, Lloyd-Max levels are
  /// rounded to it.
  using Element = std::conditional_t<Class == FormClass::kBF16, __nv_bfloat16, __half>;

  __device__ static void spread(std::uint32_t word,
                                const PlaceConstants& by,
                                std::uint32_t (&pairs)[kCount]) {
    if constexpr (kBits == 16) {
      pairs[0] = word;
    } else if constexpr (Class == FormClass::kE5M2) {
      // The upper byte of an f16.
      pairs[0] = __byte_perm(word, 0, 0x2404U);
      pairs[1] = __byte_perm(word, 0, 0x3414U);
    } else if constexpr (Class == FormClass::kE4M3) {
      const std::uint32_t sorted = __byte_perm(word, 0, 0x3120U);
      pairs[0] = wide_pair(sorted);
      pairs[1] = wide_pair(sorted >> 16U);
    } else if constexpr (is_table(Class)) {
      spread_levels(word, by, pairs);
    } else {
      spread_integers(word, by, pairs);
    }
  }

 private:
  __device__ static std::uint32_t wide_pair(std::uint32_t two) {
    const __half2_raw raw =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(two), __NV_E4M3);
    return raw.x | static_cast<std::uint32_t>(raw.y) << 16U;
  }

  // f16 from 1024 up has a unit of 1 and ten bits for codes, which stay at their place in the byte;
  // a product and a sum, both exact, bring them down. `thousand` is an argument of the kernel: a
  // logical operation has room for one constant, which is the mask.
  __device__ static void spread_integers(std::uint32_t word,
                                         const PlaceConstants& by,
                                         std::uint32_t (&pairs)[kCount]) {
    constexpr int kPerByte = 8 / kBits;
    constexpr std::uint32_t kMask = ((1U << kBits) - 1U) * 0x00010001U;
#pragma unroll
    for (int place = 0; place < kCount; ++place) {
      const int shift = place % kPerByte * kBits;
      std::uint32_t pair;
      if constexpr (kBits == 8) {
        pair = __byte_perm(word, by.thousand, place == 0 ? 0x7250U : 0x7351U);
      } else {
        pair = ((place < kPerByte ? word : word >> 8U) & (kMask << shift)) | by.thousand;
      }
      pairs[place] = fma_pair(pair, by.factor[place % kPerByte], by.offset[place % kPerByte]);
    }
  }

  // Magnitudes are looked up by three bits of a code, four codes at once, low and high bytes apart.
  __device__ static void spread_levels(std::uint32_t word,
                                       const PlaceConstants& by,
                                       std::uint32_t (&pairs)[kCount]) {
    const std::uint32_t sign = (word ^ by.flip) & 0x88888888U;
    const std::uint32_t index = (word ^ ((sign - (sign >> 3U)) & by.fold)) & 0x77777777U;
    std::uint32_t levels[2][2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t select = half == 0 ? index : index >> 16U;
      const std::uint32_t low = __byte_perm(by.levels[0], by.levels[1], select);
      const std::uint32_t high = __byte_perm(by.levels[2], by.levels[3], select);
      levels[half][0] = __byte_perm(low, high, 0x5140U);
      levels[half][1] = __byte_perm(low, high, 0x7362U);
    }
#pragma unroll
    for (int place = 0; place < kCount; ++place) {
      const std::uint32_t pair = place % 2 == 0
                                     ? lower_halves(levels[0][place / 2], levels[1][place / 2])
                                     : upper_halves(levels[0][place / 2], levels[1][place / 2]);
      pairs[place] = pair | ((sign << (12 - 4 * place)) & 0x80008000U);
    }
  }
};

/// All the pairs of some words.
template <typename Spread, int Words>
__device__ inline void spread_piece(const AttendSide& side,
                                    const std::uint32_t (&words)[Words],
                                    std::uint32_t (&pairs)[Words * Spread::kCount]) {
#pragma unroll
  for (int word = 0; word < Words; ++word) {
    std::uint32_t some[Spread::kCount];
    Spread::spread(words[word], side.places, some);
#pragma unroll
    for (int i = 0; i < Spread::kCount; ++i) {
      pairs[word * Spread::kCount + i] = some[i];
    }
  }
}

template <int Count>
__device__ inline void scale_pairs(std::uint32_t (&pairs)[Count],
                                   std::uint32_t scales,
                                   std::uint32_t zeros) {
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    pairs[i] = fma_pair(pairs[i], scales, zeros);
  }
}

/// A scale and a zero, each an f16, from what is stored of a group: lower and upper half.
template <FormClass Class>
__device__ inline std::uint32_t scale_halves(const AttendSide& side, std::uint32_t stored) {
  if constexpr (is_table(Class)) {
    if (side.scale_kind == ScaleKind::kE4M3) {
      return __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(stored), __NV_E4M3).x;
    }
    if (side.scale_kind == ScaleKind::kE8M0) {
      // What f16 cannot hold becomes 0 or its largest power.
      const int power = static_cast<int>(stored) - 127;
      return static_cast<std::uint32_t>(power >= -14   ? (min(power, 15) + 15) << 10
                                        : power >= -24 ? 1 << (power + 24)
                                                       : 0);
    }
  }
  return stored;
}

/// The share of a row that one of `Lanes` lanes takes, in pieces that it loads at once.
template <FormClass Class, int Dim, int Lanes>
struct RowPieces {
  static constexpr int kRowBytes = Dim * bits_of(Class) / 8;
  static constexpr int kLaneBytes = kRowBytes / Lanes;
  /// nvfp4 has a scale for 16 channels, and a piece has one scale.
  static constexpr int kMostBytes = is_table(Class) ? 8 : 16;
  static constexpr int kBytes = kLaneBytes % 16 == 0 && kMostBytes == 16 ? 16
                                : kLaneBytes % 8 == 0                    ? 8
                                                                         : 4;
  static constexpr int kCount = kLaneBytes / kBytes;
  static constexpr int kWords = kBytes / 4;
  static constexpr int kElements = kBytes * 8 / bits_of(Class);
  static constexpr int kPairs = kElements / 2;
  static constexpr bool kFits = kRowBytes % (Lanes * kBytes) == 0;

  /// The two channels of pair `pair` of piece `piece` in lane `lane`: this one and kApart further.
  __host__ __device__ static constexpr int channel(int piece, int pair, int lane) {
    return (piece * Lanes + lane) * kElements + pair / kApart * 2 * kApart + pair % kApart;
  }
  static constexpr int kApart = 16 / bits_of(Class);
};

/// Turns an 8x8 matrix of 16-bit elements, each lane having two of a row.
__device__ inline std::uint32_t transposed(std::uint32_t pair) {
  std::uint32_t out;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(out) : "r"(pair));
  return out;
}

/// Neighbouring words, read at once.
template <int Words>
__device__ inline void read_words(const std::uint8_t* from, std::uint32_t (&words)[Words]) {
  struct alignas(4 * Words) Some {
    std::uint32_t words[Words];
  };
  const Some some = *reinterpret_cast<const Some*>(from);
#pragma unroll
  for (int i = 0; i < Words; ++i) {
    words[i] = some.words[i];
  }
}

/// True when there are matrix kernels for a class and a head_dim. Few are compiled: others have the
/// kernel of attend_lane.cuh.
template <FormClass Class, int Dim>
constexpr bool has_tiles() {
  if constexpr (bits_of(Class) == 32 || bits_of(Class) == 3 || is_pruned(Class) ||
                is_per_channel(Class)) {
    return false;
  } else {
    return (Dim == 64 || Dim == 128 || (bits_of(Class) == 16 && (Dim == 80 || Dim == 96))) &&
           RowPieces<Class, Dim, 4>::kFits && RowPieces<Class, Dim, 8>::kFits;
  }
}

}  // namespace kvg::kernels
