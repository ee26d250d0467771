#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/ops.cuh"
#include "kernels/form_pairs.h"

// What the kernels of decode attention are told, and which of them there are.

namespace kvg::kernels {

inline constexpr int kMaxChunks = 128;
/// Entries that a chunk has at least, and most of a page.
inline constexpr int kMinChunk = 64;
/// Slots of a tile, which matrix units take at once.
inline constexpr int kTileSlots = 16;

/// Warps of a block of tiles that leaves room beside it, and bytes of rows of 16 bits on their way
/// in one: a tile of keys and one of values for each warp.
inline constexpr int kSmallWarps = 4;
constexpr int small_room(int head_dim) {
  return kSmallWarps * 2 * kTileSlots * head_dim * 2;
}
/// What a block takes of its multiprocessor's shared memory beside what it asks for.
inline constexpr int kReservedBytes = 1024;
/// What a small block takes of it: rows, queries and the rest.
constexpr int small_bytes(int head_dim) {
  return small_room(head_dim) + 32 * head_dim + 512 + kReservedBytes;
}
inline constexpr float kLog2E = 1.4426950408889634F;

/// A group's scale as it is stored.
enum class ScaleKind : std::uint8_t { kNone, kF16, kF16Zero, kE4M3, kE8M0 };

/// What brings codes to pairs of f16 (attend_places.cuh). Integers: factor and offset of the places
/// of a byte, both halves alike. Levels: the low and the high bytes of eight magnitudes, and which
/// bits of a code to turn over so that its upper one is a sign and the others name a magnitude.
struct PlaceConstants {
  std::uint32_t thousand = 0x64006400U;  ///< 1024, twice
  std::uint32_t factor[4] = {};
  std::uint32_t offset[4] = {};
  std::uint32_t levels[4] = {};
  std::uint32_t flip = 0;
  std::uint32_t fold = 0;  ///< of codes with the sign
};

/// Keys or values.
struct AttendSide {
  const std::uint8_t* codes = nullptr;
  const std::uint8_t* scales = nullptr;
  const void* waiting = nullptr;
  std::int32_t waiting_slots = 0;
  std::int32_t row_bytes = 0;
  std::int32_t scale_row_bytes = 0;
  std::int32_t channels = 0;     ///< stored of each slot
  std::int32_t group = 0;        ///< 0: no scale
  std::int32_t group_shift = 0;  ///< log2 of the group, where it is a power of two
  std::int32_t scale_bytes = 0;  ///< of a group
  ScaleKind scale_kind = ScaleKind::kNone;
  float multiplier = 1.0F;  ///< of every scale, a power of two
  /// kInt: 2^23 + zero code x 2^(bits i): what the code at place i of a word reads as when it is 0.
  float origin[8] = {};
  PlaceConstants places;
  const std::int16_t* kept_channels = nullptr;
  Form form;
};

/// The exponent of 2^23.
inline constexpr std::uint32_t kUnitExponent = 0x4B000000U;

struct AttendKernelArgs {
  AttendSide keys;
  AttendSide values;
  void* out = nullptr;
  const void* query = nullptr;
  const void* sink_query = nullptr;
  DType compute = DType::kF32;
  int sinks = 0;  ///< 0 without a sink query
  float scale = 1.0F;
  float* scores = nullptr;
  std::int64_t capacity = 0;
  PageView pages;
  int page_shift = 0;  ///< log2 of the entries of a page
  const HeadCursor* heads = nullptr;
  std::int64_t slots = 0;
  std::int32_t key_head_rows = 0;  ///< StoredSide::head_rows of the keys
  HeadShape shape;
  float* scratch = nullptr;  ///< partial results, of several chunks
  int batch = 0;
  int chunks = 0;                               ///< of the grid
  int most_chunks = 0;                          ///< of any number of entries
  int group = 0;                                ///< queries of a kv_head
  int tiles = 1;                                ///< parts of a group, one a block
  bool small = false;                           ///< blocks leave room beside them
  std::uint32_t unit_exponent = kUnitExponent;  ///< see from_bits()
  int lanes = 1;                                ///< lanes that share a row, a power of two
};

constexpr int bits_of(FormClass form_class) {
  switch (form_class) {
    case FormClass::kF32:
    case FormClass::kPrunedF32:
      return 32;
    case FormClass::kF16:
    case FormClass::kBF16:
    case FormClass::kPrunedF16:
    case FormClass::kPrunedBF16:
      return 16;
    case FormClass::kE4M3:
    case FormClass::kE5M2:
    case FormClass::kInt8:
      return 8;
    case FormClass::kInt4:
    case FormClass::kTable4:
    case FormClass::kChannelInt4:
      return 4;
    case FormClass::kTable3:
      return 3;
    case FormClass::kInt2:
    case FormClass::kChannelInt2:
      return 2;
  }
  return 32;
}

constexpr bool is_pruned(FormClass form_class) {
  return form_class == FormClass::kPrunedF32 || form_class == FormClass::kPrunedF16 ||
         form_class == FormClass::kPrunedBF16;
}

constexpr bool is_per_channel(FormClass form_class) {
  return form_class == FormClass::kChannelInt4 || form_class == FormClass::kChannelInt2;
}

constexpr bool is_table(FormClass form_class) {
  return form_class == FormClass::kTable4 || form_class == FormClass::kTable3;
}

/// True where few warps keep up with memory: matrix units take what is stored as it is.
constexpr bool fits_beside(FormPair pair) {
  return pair.keys == pair.values &&
         (pair.keys == FormClass::kF16 || pair.keys == FormClass::kBF16);
}

/// True for classes whose elements may have scales.
constexpr bool has_scales(FormClass form_class) {
  return bits_of(form_class) <= 8;
}

/// Channels of a row that one lane of attend_lane.cuh takes when a block answers `group` queries:
/// 16 bytes where there is one query, fewer where the queries need the registers.
constexpr int lane_channels(FormPair pair, int group) {
  const int bits =
      bits_of(pair.keys) > bits_of(pair.values) ? bits_of(pair.keys) : bits_of(pair.values);
  // Not more than 16: nvfp4 has groups of 16 channels, and a lane has one scale a row; and queries
  // and sums of 32 channels leave no registers for rows on their way.
  const int fewest = bits < 4 ? 16 : 8;
  return group == 1 && bits <= 8 ? 16 : fewest;
}

/// Blocks of a multiprocessor that attend_lane.cuh has registers for: rows that are stored as they
/// are need fewer.
constexpr int lane_blocks(FormPair pair, int group) {
  return group == 1 && bits_of(pair.keys) == 16 && bits_of(pair.values) == 16 ? 4 : 3;
}
inline constexpr int kMostBlocks = 4;

/// The numbers of queries that kernels of lanes are compiled for.
inline constexpr int kAttendGroups[] = {1, 4};

/// Which kernel of a pair: lanes for `group` queries a block, matrix units for eight, or for one.
struct AttendKind {
  enum class Reader { kLanes, kTiles, kSolo };
  Reader reader = Reader::kLanes;
  int group = 1;
};

/// Enqueues a kernel of a pair. Defined for kFormPairs alone.
template <FormClass Keys, FormClass Values>
void launch_attend(const Target& target, const AttendKernelArgs& args, AttendKind kind);

}  // namespace kvg::kernels
