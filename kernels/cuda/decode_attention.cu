#include <algorithm>
#include <bit>
#include <iterator>
#include <string>
#include <utility>

#include "kernels/codec.h"
#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_merge.cuh"
#include "kernels/cuda/attend_places.cuh"
#include "kernels/cuda/attend_ring.cuh"
#include "kernels/cuda/attend_solo.cuh"
#include "kernels/cuda/head_dim.cuh"

// Attention of one query per head over a layer in its stored form: bound by reading keys and values
// once. A block takes a chunk of the entries of one kv_head for several of its queries at once. The
// chunk length follows from the numbers of entries, kv_heads and rows alone; the grid holds as many
// chunks as the capacity can need, and blocks beyond the entries leave; attend_merge.cu puts chunks
// together. This file chooses the kernel; attend_tile.cuh, attend_solo.cuh and attend_lane.cuh have
// its loop, attend_block.cuh what comes before and after.

namespace kvg::kernels {
namespace {

// Of a large card; a constant, so that sums have the same order on all.
constexpr int kMultiprocessors = 132;

// Blocks that a multiprocessor has at once.
constexpr int blocks_of(FormPair pair, AttendKind kind) {
  switch (kind.reader) {
    case AttendKind::Reader::kLanes:
      return lane_blocks(pair, kind.group);
    case AttendKind::Reader::kTiles:
      return 1;
    case AttendKind::Reader::kSolo:
      break;
  }
  return solo_blocks(pair);
}

// Most chunks of a kv_head: all of a batch together make as many blocks as are at work at once, so
// that none comes late; and one where they are more already, as a block costs microseconds.
constexpr int most_chunks(const HeadShape& shape, int batch, int blocks) {
  const int busy = blocks * kMultiprocessors;
  return std::clamp(busy / std::max(shape.kv_heads * batch, 1), 1, kMaxChunks);
}

// The last page may reach beyond the capacity, but by less than a chunk.
constexpr int chunk_count(const HeadShape& shape, int batch, std::int64_t capacity, int blocks) {
  return static_cast<int>(std::min<std::int64_t>(most_chunks(shape, batch, blocks),
                                                 (capacity + kMinChunk - 1) / kMinChunk + 1));
}

ScaleKind scale_kind_of(const Form& form) {
  if (form.group == 0) {
    return ScaleKind::kNone;
  }
  switch (form.code) {
    case Code::kAsymmetric:
      return ScaleKind::kF16Zero;
    case Code::kNvfp4:
      return ScaleKind::kE4M3;
    case Code::kMxfp4:
      return ScaleKind::kE8M0;
    default:
      return ScaleKind::kF16;
  }
}

std::uint32_t half_pair(float value) {
  return narrowed<kHalf>(value) * 0x00010001U;
}

// PlaceConstants of a side that is complete otherwise.
void set_places(AttendSide& side) {
  const Form& form = side.form;
  PlaceConstants& places = side.places;
  if (form.code == Code::kLloyd || form.code == Code::kNvfp4 || form.code == Code::kMxfp4) {
    const bool ascending = form.code == Code::kLloyd;
    for (unsigned i = 0; form.bits == 4 && i < 8; ++i) {
      const std::uint32_t level = narrowed<kHalf>(level_of(form, ascending ? 8 + i : i));
      places.levels[i / 4] |= (level & 0xFFU) << (i % 4 * 8);
      places.levels[2 + i / 4] |= (level >> 8U) << (i % 4 * 8);
    }
    places.flip = ascending ? 0x88888888U : 0;
    places.fold = ascending ? 0x77777777U : 0;
    return;
  }
  const float zero_code =
      form.code == Code::kAsymmetric ? 0.0F : static_cast<float>(1 << (form.bits - 1));
  for (int place = 0; place * form.bits < 8 && place < 4; ++place) {
    const float unit = 1.0F / static_cast<float>(1 << (place * form.bits));
    places.factor[place] = half_pair(unit * side.multiplier);
    places.offset[place] = half_pair(-(1024.0F * unit + zero_code) * side.multiplier);
  }
}

AttendSide side_of(const StoredSide& stored) {
  const Form& form = stored.form;
  AttendSide side = {
      .codes = static_cast<const std::uint8_t*>(stored.codes),
      .scales = static_cast<const std::uint8_t*>(stored.scales),
      .waiting = stored.waiting,
      .waiting_slots = stored.waiting_slots,
      .row_bytes = static_cast<std::int32_t>(code_row_bytes(form, stored.channels)),
      .scale_row_bytes = static_cast<std::int32_t>(scale_row_bytes(form, stored.channels)),
      .channels = stored.channels,
      .group = form.group,
      .group_shift = form.group > 0 ? std::countr_zero(static_cast<unsigned>(form.group)) : 0,
      .scale_bytes = static_cast<std::int32_t>(scale_bytes(form)),
      .scale_kind = scale_kind_of(form),
      .places = {},
      .kept_channels = stored.kept_channels,
      .form = form};
  if (form.bits <= 8) {
    const auto zero_code = static_cast<float>(1U << static_cast<unsigned>(form.bits - 1));
    if (form.code == Code::kAbsMax) {
      side.multiplier = 1.0F / zero_code;
    }
    for (int place = 0; place < 8; ++place) {
      const int shift = std::min(place * form.bits, 14);
      side.origin[place] = 8388608.0F + (form.code == Code::kAsymmetric ? 0.0F : zero_code) *
                                            static_cast<float>(1U << static_cast<unsigned>(shift));
    }
    set_places(side);
  }
  return side;
}

// A lane has one scale a row and loads whole words.
bool fits_lanes(const Form& form, int head_dim, int channels) {
  return head_dim % channels == 0 &&
         (form.group == 0 || form.per_channel || form.group % channels == 0);
}

template <int Dim, std::size_t... Classes>
constexpr bool class_has_tiles(FormClass form_class, std::index_sequence<Classes...>) {
  return ((static_cast<FormClass>(Classes) == form_class &&
           has_tiles<static_cast<FormClass>(Classes), Dim>()) ||
          ...);
}

// Matrix units read this side: there is a kernel, which turns no rows without scales, and a lane's
// piece of a row has one scale.
bool fits_tiles(const StoredSide& side, FormClass form_class, int head_dim) {
  constexpr auto kAll = std::make_index_sequence<kFormClasses>{};
  bool compiled = false;
  dispatch_head_dim("decode attention", head_dim, [&](auto dim) {
    compiled = class_has_tiles<dim>(form_class, kAll);
  });
  // The largest piece has 16 bytes, levels' 8.
  const int piece = std::min(head_dim / 4, (is_table(form_class) ? 64 : 128) / side.form.bits);
  return compiled && (has_scales(form_class) || side.form.transform == Transform::kNone) &&
         (side.form.group == 0 || side.form.group % piece == 0);
}

bool fits_solo(const StoredSide& side, FormClass form_class, int head_dim) {
  return has_solo(form_class, head_dim) && side.form.group > 0 &&
         side.form.group % (head_dim / 4) == 0;
}

// Matrix units where there is a kernel for them, which for one query integers alone are worth and
// what leaves room for projections beside it, else lanes for the fewest queries a block that answer
// a group in the fewest parts.
AttendKind choose_kind(
    const Target& target, const AttendArgs& args, FormPair pair, DType compute, bool accompanied) {
  const bool whole_tiles = args.pages.pages == nullptr || args.pages.page >= kTileSlots;
  const int queries = args.shape.heads / args.shape.kv_heads;
  const bool matrices = target.overlaps && compute != DType::kF32 && whole_tiles;
  if (matrices && queries == 1 && fits_solo(args.kv.keys, pair.keys, args.shape.head_dim) &&
      fits_solo(args.kv.values, pair.values, args.shape.head_dim)) {
    return {.reader = AttendKind::Reader::kSolo};
  }
  if (matrices && (queries > 1 || (accompanied && fits_beside(pair))) &&
      fits_tiles(args.kv.keys, pair.keys, args.shape.head_dim) &&
      fits_tiles(args.kv.values, pair.values, args.shape.head_dim)) {
    return {.reader = AttendKind::Reader::kTiles};
  }
  int chosen = 0;
  for (const int group : kAttendGroups) {
    const int channels = lane_channels(pair, group);
    const bool fits = fits_lanes(args.kv.keys.form, args.shape.head_dim, channels) &&
                      fits_lanes(args.kv.values.form, args.shape.head_dim, channels) &&
                      args.shape.head_dim <= channels * kWarp;
    if (fits && (chosen == 0 || chosen < queries)) {
      chosen = group;
    }
  }
  if (chosen == 0) {
    throw InvalidArgument("decode attention on CUDA: groups of " +
                          std::to_string(args.kv.keys.form.group) + " and " +
                          std::to_string(args.kv.values.form.group) +
                          " do not share out head_dim " + std::to_string(args.shape.head_dim));
  }
  return {.reader = AttendKind::Reader::kLanes, .group = chosen};
}

FormPair pair_of(const AttendArgs& args) {
  const StoredSide& keys = args.kv.keys;
  const bool pruned = keys.kept_channels != nullptr;
  if (!has_kernel(keys.form, args.kv.values.form, pruned)) {
    throw InvalidArgument(
        "attention has no kernel for these forms of keys and values; there are: " +
        list_form_pairs());
  }
  const FormPair pair = {class_of(keys.form, pruned).value(),
                         class_of(args.kv.values.form).value()};
  const bool may_wait = is_pruned(pair.keys) || is_per_channel(pair.keys);
  KVG_EXPECT(may_wait || (keys.waiting == nullptr && args.kv.values.waiting == nullptr),
             "entries wait beside pruned keys and keys with scales per channel alone");
  const auto page = static_cast<unsigned>(args.pages.page);
  KVG_EXPECT(args.pages.pages == nullptr || (std::has_single_bit(page) && page <= kMinChunk),
             "pages have a power of two of entries, at most " + std::to_string(kMinChunk));
  KVG_EXPECT(args.kv.values.waiting == nullptr || args.kv.values.form.transform == Transform::kNone,
             "values that wait are not mixed with turned ones");
  return pair;
}

AttendKernelArgs kernel_args_of(const AttendArgs& args, int blocks, DType compute, float* scratch) {
  const bool has_sinks = args.sink_query != nullptr;
  return {.keys = side_of(args.kv.keys),
          .values = side_of(args.kv.values),
          .out = args.out,
          .query = args.query,
          .sink_query = args.sink_query,
          .compute = compute,
          .sinks = has_sinks ? args.sinks : 0,
          .scale = args.scale,
          .scores = args.scores,
          .capacity = args.kv.capacity,
          .pages = args.pages,
          .page_shift = std::countr_zero(static_cast<unsigned>(args.pages.page)),
          .heads = args.kv.heads,
          .slots = args.kv.slots,
          .key_head_rows = args.kv.keys.head_rows,
          .shape = args.shape,
          .scratch = scratch,
          .batch = args.batch,
          .chunks = chunk_count(args.shape, args.batch, args.kv.capacity, blocks),
          .most_chunks = most_chunks(args.shape, args.batch, blocks),
          .group = args.shape.heads / args.shape.kv_heads};
}

template <std::size_t... Pairs>
void launch_pair(const Target& target,
                 const AttendKernelArgs& args,
                 const std::pair<FormPair, AttendKind>& chosen,
                 std::index_sequence<Pairs...>) {
  (void)((kFormPairs[Pairs] == chosen.first &&
          (launch_attend<kFormPairs[Pairs].keys, kFormPairs[Pairs].values>(
               target, args, chosen.second),
           true)) ||
         ...);
}

}  // namespace

std::size_t attend_partial_bytes(const HeadShape& shape, int batch, std::int64_t entries) {
  // Fewer rows have more chunks each.
  int most = 0;
  for (int rows = 1; rows <= batch; ++rows) {
    most = std::max(most, rows * chunk_count(shape, rows, entries, kMostBlocks));
  }
  return sizeof(float) * static_cast<std::size_t>(most) * static_cast<std::size_t>(shape.heads) *
         static_cast<std::size_t>(partial_floats(shape.head_dim));
}

int decode_attend(
    const Target& target, DType compute, const AttendArgs& args, float* scratch, bool accompanied) {
  // Other sizes would share out as well, but none is tested.
  dispatch_head_dim("decode attention", args.shape.head_dim, [](auto) {});
  const FormPair pair = pair_of(args);
  const AttendKind kind = choose_kind(target, args, pair, compute, accompanied);
  AttendKernelArgs kernel_args = kernel_args_of(args, blocks_of(pair, kind), compute, scratch);
  kernel_args.small = accompanied && fits_beside(pair) && kind.reader == AttendKind::Reader::kTiles;
  launch_pair(target, kernel_args, {pair, kind}, std::make_index_sequence<std::size(kFormPairs)>{});
  if (kernel_args.chunks > 1) {
    merge_chunks(target,
                 {.out = args.out,
                  .compute = compute,
                  .partials = scratch,
                  .queries = args.batch * args.shape.heads,
                  .chunks = kernel_args.chunks,
                  .head_dim = args.shape.head_dim,
                  .transform = args.kv.values.form.transform});
  }
  const int merge_bytes = kernel_args.chunks > 1 ? kMergeBytes + kReservedBytes : 0;
  return kernel_args.small ? small_bytes(args.shape.head_dim) + merge_bytes : 0;
}

}  // namespace kvg::kernels
