#pragma once

#include <cstdint>

#include "kernels/codec.h"
#include "kernels/cuda/reduce.cuh"

// Encoding by a warp, to the bits that kernels/codec.h gives one element after the other.

namespace kvg::kernels {

/// Most channels of a row.
inline constexpr int kMostChannels = 256;

/// What a warp needs to encode a row.
struct RowScratch {
  alignas(16) float x[kMostChannels];
  alignas(16) std::uint8_t codes[kMostChannels];  ///< one a channel, before they are packed
};

/// Merges over `width` neighbouring lanes, a power of two; of what `form` asks for alone.
__device__ inline Extremes lanes_merge(const Form& form, Extremes own, int width) {
  for (int step = 1; step < width; step *= 2) {
    Extremes other;
    if (form.code == Code::kAsymmetric) {
      other.min = __shfl_xor_sync(kAllLanes, own.min, step);
      other.max = __shfl_xor_sync(kAllLanes, own.max, step);
    } else {
      other.largest = __shfl_xor_sync(kAllLanes, own.largest, step);
      other.largest_index = __shfl_xor_sync(kAllLanes, own.largest_index, step);
    }
    if (form.code == Code::kLloyd) {
      other.square_sum = __shfl_xor_sync(kAllLanes, own.square_sum, step);
    }
    own = merge(own, other);
  }
  return own;
}

__device__ inline double lanes_sum(double own, int width) {
  for (int step = 1; step < width; step *= 2) {
    own += __shfl_xor_sync(kAllLanes, own, step);
  }
  return own;
}

/// Which elements of a group a lane takes, and how many lanes share the group.
struct GroupShare {
  int start;
  int stop;
  int step;
  int lanes;
};

/// Codes of a group that starts at channel `first` of the row and has `count` of them; all lanes of
/// the warp come along, each for its group. Returns the scale.
__device__ inline GroupScale encode_group(const Form& form,
                                          RowScratch& row,
                                          int2 first_count,
                                          const GroupShare& share) {
  Extremes own;
  for (int i = share.start; i < share.stop; i += share.step) {
    own.include(row.x[first_count.x + i], i);
  }
  const Extremes extremes = form.group == 0 ? own : lanes_merge(form, own, share.lanes);
  GroupScale scale = scale_of(form, extremes, first_count.y);
  double squares = 0.0;
  for (int i = share.start; i < share.stop; i += share.step) {
    const unsigned code = encode(form, row.x[first_count.x + i], scale);
    row.codes[first_count.x + i] = static_cast<std::uint8_t>(code);
    squares += form.code == Code::kLloyd ? level_square(form, code) : 0.0;
  }
  if (form.code == Code::kLloyd) {
    scale = with_levels(scale, extremes, lanes_sum(squares, share.lanes));
  }
  return scale;
}

/// Byte `at` of a packed row.
__device__ inline unsigned packed_byte(const Form& form, const std::uint8_t* codes, int at) {
  const int first = at * 8;
  unsigned byte = 0;
  for (int c = first / form.bits; c * form.bits < first + 8; ++c) {
    const int shift = c * form.bits - first;
    byte |= shift >= 0 ? static_cast<unsigned>(codes[c]) << shift
                       : static_cast<unsigned>(codes[c]) >> -shift;
  }
  return byte & 0xffU;
}

/// Writes `bytes` bytes of a row whose codes are complete.
__device__ inline void write_packed(const Form& form,
                                    const std::uint8_t* codes,
                                    std::uint8_t* out,
                                    int bytes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (bytes % 4 == 0) {
    for (int word = lane; word < bytes / 4; word += kWarp) {
      std::uint32_t packed = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        packed |= packed_byte(form, codes, 4 * word + i) << (8 * i);
      }
      reinterpret_cast<std::uint32_t*>(out)[word] = packed;
    }
    return;
  }
  for (int at = lane; at < bytes; at += kWarp) {
    out[at] = static_cast<std::uint8_t>(packed_byte(form, codes, at));
  }
}

/// encode_row() for codes of at most 8 bits. Inlined with a form whose code and bits are known, so
/// that its arithmetic is all that is left.
__device__ inline void encode_packed(
    const Form& form, RowScratch& row, int channels, std::uint8_t* codes, std::uint8_t* scales) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = form.group == 0 ? channels : form.group;
  const int each = channels / kWarp;
  const int lanes = each == 0 ? 0 : group / each;
  if (channels % kWarp == 0 && group % each == 0 && (lanes & (lanes - 1)) == 0) {
    // Neighbouring lanes share a group, and all groups go at once.
    const int start = lane % lanes * each;
    const GroupShare share = {.start = start, .stop = start + each, .step = 1, .lanes = lanes};
    const int index = lane / lanes;
    const GroupScale scale = encode_group(form, row, make_int2(index * group, group), share);
    if (lane % lanes == 0) {
      write_scale(form, scales, index, scale);
    }
  } else {
    const GroupShare share = {.start = lane, .stop = group, .step = kWarp, .lanes = kWarp};
    for (int index = 0; index < channels / group; ++index) {
      const GroupScale scale = encode_group(form, row, make_int2(index * group, group), share);
      if (lane == 0) {
        write_scale(form, scales, index, scale);
      }
    }
  }
  __syncwarp();
  write_packed(form, row.codes, codes, static_cast<int>(code_row_bytes(form, channels)));
}

/// Calls `use` with `form` and what it has of code and bits as constants.
template <typename Use>
__device__ inline void with_code(const Form& form, const Use& use) {
  const auto known = [&](Code code, int bits) {
    Form constant = form;
    constant.code = code;
    constant.bits = bits;
    use(constant);
  };
  switch (form.code) {
    case Code::kSymmetric:
      return form.bits == 8   ? known(Code::kSymmetric, 8)
             : form.bits == 4 ? known(Code::kSymmetric, 4)
                              : known(Code::kSymmetric, 2);
    case Code::kAsymmetric:
      return form.bits == 8   ? known(Code::kAsymmetric, 8)
             : form.bits == 4 ? known(Code::kAsymmetric, 4)
                              : known(Code::kAsymmetric, 2);
    case Code::kAbsMax:
      return form.bits == 8 ? known(Code::kAbsMax, 8) : known(Code::kAbsMax, 4);
    case Code::kLloyd:
      return form.bits == 3 ? known(Code::kLloyd, 3) : known(Code::kLloyd, 4);
    case Code::kBlock8:
      return known(Code::kBlock8, 8);
    case Code::kBlock4:
      return known(Code::kBlock4, 4);
    case Code::kE4M3:
      return known(Code::kE4M3, 8);
    case Code::kE5M2:
      return known(Code::kE5M2, 8);
    case Code::kNvfp4:
      return known(Code::kNvfp4, 4);
    case Code::kMxfp4:
      return known(Code::kMxfp4, 4);
    default:
      return;
  }
}

/// Encodes row.x [channels], with one scale for each group of channels. The warp is in step before
/// and after. Not inlined: it is many times as long as what calls it.
__device__ __noinline__ inline void encode_row(
    const Form& form, RowScratch& row, int channels, std::uint8_t* codes, std::uint8_t* scales) {
  if (form.bits > 8) {
    for (int c = static_cast<int>(threadIdx.x) % kWarp; c < channels; c += kWarp) {
      put_code(form, codes, c, encode(form, row.x[c], {}));
    }
    return;
  }
  with_code(form, [&](const Form& known) { encode_packed(known, row, channels, codes, scales); });
}

}  // namespace kvg::kernels
