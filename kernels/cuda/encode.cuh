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

/// Codes of channels [first, first + count) of a row, which share a scale, by the `width` lanes of
/// which this is number `rank`; all lanes of the warp come along. Returns the scale.
__device__ inline GroupScale encode_group(const Form& form,
                                          RowScratch& row,
                                          int2 first_count,
                                          int2 rank_width) {
  Extremes own;
  for (int i = rank_width.x; i < first_count.y; i += rank_width.y) {
    own.include(row.x[first_count.x + i], i);
  }
  const Extremes extremes = form.group == 0 ? own : lanes_merge(form, own, rank_width.y);
  GroupScale scale = scale_of(form, extremes, first_count.y);
  double squares = 0.0;
  for (int i = rank_width.x; i < first_count.y; i += rank_width.y) {
    const unsigned code = encode(form, row.x[first_count.x + i], scale);
    row.codes[first_count.x + i] = static_cast<std::uint8_t>(code);
    squares += form.code == Code::kLloyd ? level_square(form, code) : 0.0;
  }
  if (form.code == Code::kLloyd) {
    scale = with_levels(scale, extremes, lanes_sum(squares, rank_width.y));
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

/// Encodes row.x [channels], with one scale for each group of channels. The warp is in step before
/// and after.
__device__ inline void encode_row(
    const Form& form, RowScratch& row, int channels, std::uint8_t* codes, std::uint8_t* scales) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (form.bits > 8) {
    for (int c = lane; c < channels; c += kWarp) {
      put_code(form, codes, c, encode(form, row.x[c], {}));
    }
    return;
  }
  // Lanes share out the groups: 16 and 32 channels are one or two elements a lane.
  const int group = form.group == 0 ? channels : form.group;
  const int width = form.group == 16 ? 16 : kWarp;
  const int groups = channels / group;
  const int at_once = kWarp / width;
  for (int first = 0; first < groups; first += at_once) {
    const int index = first + lane / width;
    const bool present = index < groups;
    const GroupScale scale = encode_group(
        form, row, make_int2(index * group, present ? group : 0), make_int2(lane % width, width));
    if (present && lane % width == 0) {
      write_scale(form, scales, index, scale);
    }
  }
  __syncwarp();
  write_packed(form, row.codes, codes, static_cast<int>(code_row_bytes(form, channels)));
}

}  // namespace kvg::kernels
