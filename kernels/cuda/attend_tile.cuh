#pragma once

#include <algorithm>

#include "kernels/cuda/attend_group.cuh"
#include "kernels/cuda/attend_ring.cuh"

// Rows on their way to matrix units: they come through rings in shared memory (attend_ring.cuh) as
// they are stored, keys and values in turn. `Small`: the block leaves room on its multiprocessor
// for one of a projection chain that runs beside it; else it fills it.

namespace kvg::kernels {

constexpr bool is_wide(FormClass keys, FormClass values) {
  return bits_of(keys) == 16 && bits_of(values) == 16;
}
constexpr int tile_threads(FormClass keys, FormClass values, bool small) {
  return small ? kSmallWarps * kWarp : is_wide(keys, values) ? 384 : 512;
}
/// Bytes of rows on their way: what few warps, or rows of 16 bits, keep the memory of an H200 busy
/// with.
constexpr int tile_room(FormClass keys, FormClass values, int head_dim, bool small) {
  return small ? small_room(head_dim) : (is_wide(keys, values) ? 96 : 192) * 1024;
}

template <FormClass KeyClass, FormClass ValueClass, int Dim, bool Paged, bool Small>
struct AttendTile
    : GroupReader<KeyClass, ValueClass, Dim, Paged, tile_threads(KeyClass, ValueClass, Small)> {
  using Group =
      GroupReader<KeyClass, ValueClass, Dim, Paged, tile_threads(KeyClass, ValueClass, Small)>;
  using Group::args;
  using Group::kGroup;
  using Group::kSets;
  using Group::kStep;
  using Group::kThreads;
  using Group::lane;
  using Group::quad;
  using Group::spot;
  using Group::staged_floats;
  using Group::tile_at;
  using Group::warp;
  using Group::work;
  using typename Group::KeyPieces;
  using typename Group::KeyPlaces;
  using typename Group::Tile;
  using typename Group::ValuePieces;
  using typename Group::ValuePlaces;

  static constexpr int kChunkUnit = Paged ? kMinChunk : kTileSlots;
  static constexpr bool kKeyScales = has_scales(KeyClass);
  static constexpr bool kValueScales = has_scales(ValueClass);
  using KeyRows = StagedRows<KeyPieces::kRowBytes, Dim, kKeyScales>;
  using ValueRows = StagedRows<ValuePieces::kRowBytes, Dim, kValueScales>;
  static constexpr int kStageBytes = std::max(KeyRows::kBytes, ValueRows::kBytes);
  static constexpr int kWarpRoom = tile_room(KeyClass, ValueClass, Dim, Small) / (kThreads / kWarp);
  static constexpr int kStages = std::clamp(kWarpRoom / kStageBytes, 2, 16);
  using Stages = TileStages<kStageBytes, kStages>;
  /// Bytes behind the queries.
  static constexpr int kRingBytes = kThreads / kWarp * Stages::kBytes;
  /// Of shared memory that the kernel declares: barriers and its work, in whole lines.
  static constexpr int kDeclaredBytes =
      (kThreads / kWarp * kStages * static_cast<int>(sizeof(std::uint64_t)) +
       static_cast<int>(sizeof(BlockWork)) + 127) /
      128 * 128;

  unsigned key_apart;    ///< of scales, as RowCopy has it
  unsigned value_apart;  ///< likewise
  RowCopy copy;          ///< this lane's: the first two have keys, two have values
  Stages stages;
  int coming;                  ///< where the tile starts that is asked for next
  bool values_coming = false;  ///< whose keys have been asked for

  __device__ AttendTile(const AttendKernelArgs& kernel_args,
                        const BlockWork& block_work,
                        float* shared)
      : Group(kernel_args, block_work, shared),
        key_apart(static_cast<unsigned>(work.key_row * args.keys.scale_row_bytes) % 16U),
        value_apart(static_cast<unsigned>(work.row * args.values.scale_row_bytes) % 16U),
        stages(ring(shared), barriers()),
        coming(work.begin + warp() * kTileSlots) {
    if (lane == 0) {
      copy = RowCopy(args.keys.codes, work.key_row, KeyPieces::kRowBytes, 0);
    } else if (lane == 1) {
      copy =
          RowCopy(args.keys.scales, work.key_row, args.keys.scale_row_bytes, KeyRows::kCodeBytes);
    } else if (lane == 2) {
      copy = RowCopy(args.values.codes, work.row, ValuePieces::kRowBytes, 0);
    } else if (lane == 3) {
      copy =
          RowCopy(args.values.scales, work.row, args.values.scale_row_bytes, ValueRows::kCodeBytes);
    }
  }

  __device__ static std::uint8_t* ring(float* shared) {
    return reinterpret_cast<std::uint8_t*>(shared + staged_floats(Dim) + kSets * kGroup * Dim) +
           warp() * Stages::kBytes;
  }
  __device__ static std::uint64_t* barriers() {
    __shared__ std::uint64_t full[kThreads / kWarp][kStages];
    return full[warp()];
  }

  __device__ void multiply_keys(int set, float (&products)[2][4]) const {
#pragma unroll
    for (int piece = 0; piece < KeyPieces::kCount; ++piece) {
      std::uint32_t pairs[2][KeyPieces::kPairs];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int slot = quad + 8 * half;
        std::uint32_t words[KeyPieces::kWords];
        read_words(
            stages.reading() + slot * KeyPieces::kRowBytes + (piece * 4 + spot) * KeyPieces::kBytes,
            words);
        spread_piece<KeyPlaces>(args.keys, words, pairs[half]);
        if constexpr (kKeyScales) {
          const std::uint32_t own = scale_halves<KeyClass>(
              args.keys,
              KeyRows::scale(args.keys,
                             stages.reading(),
                             key_apart,
                             make_int2(slot, KeyPieces::channel(piece, 0, spot))));
          scale_pairs(pairs[half], lower_halves(own, own), upper_halves(own, own));
        }
      }
      Group::multiply_piece(set, piece, pairs, products);
    }
  }

  __device__ void mix_tile(const Tile& tile, const float (&own)[4]) {
    const uint2 operand = Group::weights_of(own);
#pragma unroll
    for (int piece = 0; piece < ValuePieces::kCount; ++piece) {
      std::uint32_t low[2][ValuePieces::kPairs];
      std::uint32_t high[2][ValuePieces::kPairs];
      spread_values(tile, piece, low, high);
      Group::mix_piece(piece, low, high, operand);
    }
  }

  /// Of the first and the second two slots of a lane, as mix_piece() takes them.
  __device__ void spread_values(const Tile& tile,
                                int piece,
                                std::uint32_t (&low)[2][ValuePieces::kPairs],
                                std::uint32_t (&high)[2][ValuePieces::kPairs]) const {
#pragma unroll
    for (int two = 0; two < 2; ++two) {
      const int slot = 2 * spot + 8 * two;
      std::uint32_t first[ValuePieces::kWords];
      std::uint32_t second[ValuePieces::kWords];
      const int at = (piece * 8 + quad) * ValuePieces::kBytes;
      read_words(stages.reading() + slot * ValuePieces::kRowBytes + at, first);
      read_words(stages.reading() + (slot + 1) * ValuePieces::kRowBytes + at, second);
      std::uint32_t lower[ValuePieces::kWords];
      std::uint32_t upper[ValuePieces::kWords];
#pragma unroll
      for (int word = 0; word < ValuePieces::kWords; ++word) {
        lower[word] = lower_halves(first[word], second[word]);
        upper[word] = upper_halves(first[word], second[word]);
      }
      spread_piece<ValuePlaces>(args.values, lower, low[two]);
      spread_piece<ValuePlaces>(args.values, upper, high[two]);
      if constexpr (kValueScales) {
        const std::uint32_t a = value_scale(tile, slot, piece);
        const std::uint32_t b = value_scale(tile, slot + 1, piece);
        scale_pairs(low[two], lower_halves(a, b), upper_halves(a, b));
        scale_pairs(high[two], lower_halves(a, b), upper_halves(a, b));
      }
    }
  }

  /// Where there is no slot there may be anything, and a weight of 0 does not make it a number.
  [[nodiscard]] __device__ std::uint32_t value_scale(const Tile& tile, int slot, int piece) const {
    const std::uint32_t stored =
        ValueRows::scale(args.values,
                         stages.reading(),
                         value_apart,
                         make_int2(slot, ValuePieces::channel(piece, 0, quad)));
    return slot < tile.count ? scale_halves<ValueClass>(args.values, stored) : 0;
  }

  /// This warp's chunk of the entries; queries are staged while the first rows are under way.
  __device__ void attend(float* shared) {
    const int first = coming;
    __syncwarp();
#pragma unroll 1
    for (int ahead = 0; ahead < kStages; ++ahead) {
      issue();
    }
    Group::stage(shared);
    for (int at = first; at < work.end; at += kStep) {
      const Tile tile = tile_at(at);
      float scores[4];
      if (tile.count > 0) {
        stages.wait();
        Group::score(
            tile, scores, [&](int set, float(&products)[2][4]) { multiply_keys(set, products); });
        stages.release();
      }
      issue();
      if (tile.count > 0) {
        Group::weigh(scores);
        stages.wait();
        mix_tile(tile, scores);
        stages.release();
      }
      issue();
    }
  }

  /// Asks for the keys or the values of the next tile, if there is one.
  __device__ void issue() {
    if (coming >= work.end) {
      return;
    }
    const Tile tile = tile_at(coming);
    if (tile.count > 0) {
      if (values_coming && tile.count < kTileSlots) {
        ValueRows::pad(stages.filling(), tile.count);
      }
      stages.fill(copy, (lane >= 2) == values_coming, tile.slot, tile.count);
    }
    coming += values_coming ? kStep : 0;
    values_coming = !values_coming;
  }
};

}  // namespace kvg::kernels
