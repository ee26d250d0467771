#pragma once

#include <algorithm>

#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_codes.cuh"

// The rows of a cache as a lane of decode attention has them: which are its own, where they are,
// and their codes in registers.

namespace kvg::kernels {

/// Two sums, so that one does not wait for the other.
template <int C>
__device__ inline float dot(const float (&q)[C], const float (&x)[C]) {
  float even = 0.0F;
  float odd = 0.0F;
#pragma unroll
  for (int c = 0; c < C; c += 2) {
    even = fmaf(q[c], x[c], even);
    odd = fmaf(q[c + 1], x[c + 1], odd);
  }
  return even + odd;
}

template <FormClass Keys, FormClass Values, int C, int Group, bool Paged>
struct LaneRows {
  static constexpr int kKeyBytes = Codes<Keys, C>::kBytes;
  static constexpr int kValueBytes = Codes<Values, C>::kBytes;
  /// Rows that a lane has in flight.
  static constexpr int kRows =
      std::clamp((Group == 1 ? 96 : 64) / std::max(kKeyBytes, kValueBytes), 2, Group == 1 ? 8 : 4);
  static constexpr bool kChannelScales = is_per_channel(Keys);
  static constexpr bool kKeyScales = has_scales(Keys) && !kChannelScales;
  static constexpr bool kValueScales = has_scales(Values);

  /// Rows at once. Unless paged they follow from the first of them.
  struct Tile {
    int first;
    int listed[Paged ? kRows : 1];  ///< slots, -1 for what is not there
  };

  const AttendKernelArgs& args;
  const BlockWork& work;  ///< in shared memory
  int end;                ///< of the work
  int share;              ///< which part of a row is this lane's
  int row;                ///< which row of those a warp takes at once
  int rows;               ///< that a warp takes at once
  int channel;            ///< this lane's first; 0 for lanes beyond the row
  bool present;           ///< false: a lane beyond the row
  const std::uint8_t* key_rows;
  const std::uint8_t* key_scales;  ///< of this lane's channels, except with kChannelScales
  const std::uint8_t* value_rows;
  const std::uint8_t* value_scales;

  Codes<Keys, C> keys[kRows];
  Scales<Keys, kRows> key_stored;
  Codes<Values, C> values[kRows];
  Scales<Values, kRows> value_stored;

  __device__ LaneRows(const AttendKernelArgs& kernel_args, const BlockWork& block_work)
      : args(kernel_args), work(block_work), end(block_work.end) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    share = lane % args.lanes;
    row = lane / args.lanes;
    rows = kWarp / args.lanes;
    present = share * C < args.shape.head_dim;
    channel = present ? share * C : 0;
    key_rows = args.keys.codes + work.key_row * args.keys.row_bytes;
    if constexpr (!is_pruned(Keys)) {
      key_rows += channel * bits_of(Keys) / 8;
    }
    value_rows =
        args.values.codes + work.row * args.values.row_bytes + channel * bits_of(Values) / 8;
    key_scales = scales_of(args.keys, kChannelScales);
    value_scales = scales_of(args.values, false);
  }

  [[nodiscard]] __device__ int tile_rows() const { return rows * kRows; }

  [[nodiscard]] __device__ const std::uint8_t* scales_of(const AttendSide& side,
                                                         bool along_slots) const {
    if (side.group == 0) {
      return nullptr;
    }
    const int bytes = side.scale_row_bytes / (side.channels / side.group);
    return along_slots
               ? side.scales + work.row / side.group * side.scale_row_bytes
               : side.scales + work.row * side.scale_row_bytes + channel / side.group * bytes;
  }

  __device__ Tile tile_at(int first) const {
    Tile tile;
    tile.first = first + row;
    if constexpr (Paged) {
      const std::int32_t* pages = args.pages.pages + work.head * args.pages.count;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int at = min(tile.first + r * rows, end - 1);
        const std::int32_t page = pages[at >> args.page_shift];
        const int slot = (page << args.page_shift) + (at & (args.pages.page - 1));
        const bool seen = tile.first + r * rows < end && page >= 0 && slot < work.entries;
        tile.listed[r] = seen ? slot : -1;
      }
    }
    return tile;
  }

  [[nodiscard]] __device__ bool seen(const Tile& tile, int r) const {
    return Paged ? tile.listed[r] >= 0 : tile.first + r * rows < end;
  }

  /// A slot with an entry even where there is nothing to see.
  [[nodiscard]] __device__ int slot(const Tile& tile, int r) const {
    return Paged ? max(tile.listed[r], 0) : min(tile.first + r * rows, end - 1);
  }

  __device__ void load_keys(const Tile& tile) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const std::uint8_t* from =
          key_rows + static_cast<std::int64_t>(slot(tile, r)) * args.keys.row_bytes;
      if constexpr (is_pruned(Keys)) {
        keys[r].load_pruned(from, share * C, args.keys.channels);
      } else {
        keys[r].load(from);
      }
    }
    if constexpr (kKeyScales) {
      key_stored.load(args.keys, [&](int r) {
        return key_scales + static_cast<std::int64_t>(slot(tile, r)) * args.keys.scale_row_bytes;
      });
    }
  }

  __device__ void load_values(const Tile& tile) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      values[r].load(value_rows + static_cast<std::int64_t>(slot(tile, r)) * args.values.row_bytes);
    }
    if constexpr (kValueScales) {
      value_stored.load(args.values, [&](int r) {
        return value_scales +
               static_cast<std::int64_t>(slot(tile, r)) * args.values.scale_row_bytes;
      });
    }
  }
};

}  // namespace kvg::kernels
