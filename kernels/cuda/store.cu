#include <algorithm>
#include <string>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/encode.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/turn.cuh"

// Entries into their stored form. A warp takes a row: it reads head_dim elements, transforms them
// in shared memory, and encodes groups of channels lane by lane. Keys with scales along slots go by
// blocks of `group` slots x 32 channels, a lane a channel. A step's newest entry is one warp a side
// and head, bound by latency; a prompt is bound by the arithmetic of the codes, except where the
// stored form is the compute dtype: then it is a copy, 16 bytes a thread.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kSettleThreads = 256;

// The entries that a head stores, of one side, in the compute dtype.
struct Source {
  const void* data;
  DType dtype;
  std::int64_t first;        // element
  const std::int32_t* kept;  // null: entry i is row i
  std::int32_t ring;         // entry i is row i % ring; 0: not a ring
  int head_dim;

  __device__ std::int64_t row_at(std::int64_t entry) const {
    const std::int64_t row = kept != nullptr ? kept[entry] : (ring > 0 ? entry % ring : entry);
    return first + row * head_dim;
  }
  __device__ float at(std::int64_t row, int channel) const {
    return element_at(data, dtype, row + channel);
  }
};

// One side of one head.
struct SideOfHead {
  const StoredSide* side;
  std::int64_t index;  // [batch, kv_heads]
  std::int64_t row;    // of codes: the head's first

  __device__ std::uint8_t* codes(std::int64_t slot) const {
    return static_cast<std::uint8_t*>(side->codes) +
           (row + slot) * static_cast<std::int64_t>(code_row_bytes(side->form, side->channels));
  }
  __device__ std::uint8_t* scales(std::int64_t slot) const {
    const std::int64_t at = side->form.per_channel ? (row + slot) / side->form.group : row + slot;
    return static_cast<std::uint8_t*>(side->scales) +
           at * static_cast<std::int64_t>(scale_row_bytes(side->form, side->channels));
  }
  __device__ const std::int16_t* kept_channels() const {
    return side->kept_channels == nullptr ? nullptr : side->kept_channels + index * side->channels;
  }
};

__device__ SideOfHead side_of(const StoredView& view, int kv_heads, int index, bool is_keys) {
  const StoredSide& side = is_keys ? view.keys : view.values;
  return {.side = &side, .index = index, .row = first_row(view, side, kv_heads, index)};
}

__device__ Source source_of(const KvView& from, const HeadShape& shape, int index, bool is_keys) {
  return {.data = is_keys ? from.keys : from.values,
          .dtype = from.dtype,
          .first = index / shape.kv_heads * from.batch_stride +
                   index % shape.kv_heads * from.head_stride,
          .kept = nullptr,
          .ring = 0,
          .head_dim = shape.head_dim};
}

// The entries that wait.
__device__ Source waiting_of(const SideOfHead& to, DType dtype, int head_dim) {
  return {.data = to.side->waiting,
          .dtype = dtype,
          .first = to.index * to.side->waiting_slots * head_dim,
          .kept = nullptr,
          .ring = to.side->waiting_slots,
          .head_dim = head_dim};
}

// By a warp: an entry into its slot.
__device__ void write_row(const SideOfHead& to,
                          const Source& from,
                          RowScratch& scratch,
                          int2 entry_slot) {
  const StoredSide& side = *to.side;
  const std::int16_t* kept = to.kept_channels();
  const std::int64_t row = from.row_at(entry_slot.x);
  __syncwarp();
  for (int c = WarpTeam::rank(); c < side.channels; c += kWarp) {
    scratch.x[c] = from.at(row, kept == nullptr ? c : kept[c]);
  }
  __syncwarp();
  turn_entries<WarpTeam>(side.form.transform, scratch.x, make_int2(1, from.head_dim));
  encode_row(side.form, scratch, side.channels, to.codes(entry_slot.y), to.scales(entry_slot.y));
}

// By a warp: an entry among those that wait.
__device__ void let_wait(const SideOfHead& to, const Source& from, int entry, int place) {
  const std::int64_t row = from.row_at(entry);
  const Source waiting = waiting_of(to, from.dtype, from.head_dim);
  const std::int64_t out = waiting.row_at(place);
  for (int c = WarpTeam::rank(); c < from.head_dim; c += kWarp) {
    put_element(to.side->waiting, from.dtype, out + c, from.at(row, c));
  }
}

// write_slots() for a form whose code and bits are known.
__device__ void write_known_slots(const SideOfHead& to,
                                  const Form& form,
                                  const Source& from,
                                  std::uint8_t* codes,
                                  int2 slot_channel) {
  const StoredSide& side = *to.side;
  const std::int16_t* kept = to.kept_channels();
  const int lane = WarpTeam::rank();
  const int channel = slot_channel.y + lane;
  const bool present = channel < side.channels;
  const int source_channel = !present ? 0 : kept == nullptr ? channel : kept[channel];
  Extremes extremes;
#pragma unroll 8
  for (int i = 0; i < form.group; ++i) {
    extremes.include(from.at(from.row_at(slot_channel.x + i), source_channel), i);
  }
  const GroupScale scale = scale_of(form, extremes, form.group);
  const int channels = min(kWarp, side.channels - slot_channel.y);
#pragma unroll 4
  for (int i = 0; i < form.group; ++i) {
    const float x = from.at(from.row_at(slot_channel.x + i), source_channel);
    __syncwarp();
    codes[lane] = static_cast<std::uint8_t>(encode(form, x, scale));
    __syncwarp();
    write_packed(form,
                 codes,
                 to.codes(slot_channel.x + i) + slot_channel.y * form.bits / 8,
                 channels * form.bits / 8);
  }
  if (present) {
    write_scale(form, to.scales(slot_channel.x), channel, scale);
  }
}

// By a warp: 32 channels from `channel` on of the entries [slot, slot + group), which share a scale
// in each channel.
__device__ __noinline__ void write_slots(const SideOfHead& to,
                                         const Source& from,
                                         RowScratch& scratch,
                                         int2 slot_channel) {
  Form form = to.side->form;
  form.code = Code::kAsymmetric;
  if (form.bits == 4) {
    form.bits = 4;
    write_known_slots(to, form, from, scratch.codes, slot_channel);
  } else {
    form.bits = 2;
    write_known_slots(to, form, from, scratch.codes, slot_channel);
  }
}

// Block: kv_head and batch row x side; one warp.
__global__ void __launch_bounds__(kWarp) append_kernel(const __grid_constant__ AppendArgs args) {
  __shared__ RowScratch scratch;
  allow_next();
  wait_for_inputs();
  const int index = static_cast<int>(blockIdx.x);
  const bool is_keys = blockIdx.y == 0;
  const SideOfHead to = side_of(args.to, args.shape.kv_heads, index, is_keys);
  const Source from = source_of(args.from, args.shape, index, is_keys);
  const HeadCursor& head = args.to.heads[index];
  // Where entries wait none ever leaves, so a slot is an entry's number.
  if (head.slot >= (is_keys ? head.packed_keys : head.packed_values)) {
    let_wait(to, from, 0, head.slot);
  } else {
    write_row(to, from, scratch, make_int2(0, head.slot));
  }
}

struct StoreKernelArgs {
  StoreArgs op;
  int first_side;  // 0: keys
};

// Block: rows x kv_head and batch row x side.
__global__ void __launch_bounds__(kThreads)
    store_kernel(const __grid_constant__ StoreKernelArgs args) {
  __shared__ RowScratch scratch[kWarps];
  allow_next();
  wait_for_inputs();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int index = static_cast<int>(blockIdx.y);
  const bool is_keys = args.first_side + blockIdx.z == 0;
  const SideOfHead to = side_of(args.op.to, args.op.shape.kv_heads, index, is_keys);
  Source from = source_of(args.op.from, args.op.shape, index, is_keys);
  from.kept = args.op.kept == nullptr ? nullptr : args.op.kept + index * args.op.kept_stride;
  const HeadCursor& head = args.op.to.heads[index];
  const int packed = min(head.entries, is_keys ? head.packed_keys : head.packed_values);
  const Form& form = to.side->form;
  const int first = static_cast<int>(blockIdx.x) * kWarps + warp;
  const int stride = static_cast<int>(gridDim.x) * kWarps;
  int entry = first;
  if (form.per_channel) {
    const int parts = (to.side->channels + kWarp - 1) / kWarp;
    for (int i = first; i < packed / form.group * parts; i += stride) {
      write_slots(to, from, scratch[warp], make_int2(i / parts * form.group, i % parts * kWarp));
    }
    entry += packed;
  }
  for (; entry < head.entries; entry += stride) {
    if (entry < packed) {
      write_row(to, from, scratch[warp], make_int2(entry, entry));
    } else {
      let_wait(to, from, entry, entry);
    }
  }
}

// Block: pieces of 16 bytes x kv_head and batch row x side. For sides that are stored as they come.
__global__ void __launch_bounds__(kThreads)
    copy_kernel(const __grid_constant__ StoreKernelArgs args) {
  allow_next();
  wait_for_inputs();
  const int index = static_cast<int>(blockIdx.y);
  const bool is_keys = args.first_side + blockIdx.z == 0;
  const SideOfHead to = side_of(args.op.to, args.op.shape.kv_heads, index, is_keys);
  Source from = source_of(args.op.from, args.op.shape, index, is_keys);
  from.kept = args.op.kept == nullptr ? nullptr : args.op.kept + index * args.op.kept_stride;
  const int size = from.dtype == DType::kF32 ? 4 : 2;
  const int pieces = from.head_dim * size / 16;
  const std::int64_t end = static_cast<std::int64_t>(args.op.to.heads[index].entries) * pieces;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  auto* out = reinterpret_cast<uint4*>(to.codes(0));
  const auto* in = static_cast<const std::uint8_t*>(from.data);
#pragma unroll 4
  for (std::int64_t i = blockIdx.x * kThreads + threadIdx.x; i < end; i += stride) {
    const std::int64_t entry = i / pieces;
    out[i] = __ldg(reinterpret_cast<const uint4*>(in + from.row_at(entry) * size) + i % pieces);
  }
}

struct SettleKernelArgs {
  SettleArgs op;
  DType compute;
};

// Block: kv_head and batch row x side. It alone reads and moves its side's count.
__global__ void __launch_bounds__(kSettleThreads)
    settle_kernel(const __grid_constant__ SettleKernelArgs args) {
  constexpr int kSettleWarps = kSettleThreads / kWarp;
  __shared__ RowScratch scratch[kSettleWarps];
  allow_next();
  wait_for_inputs();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int index = static_cast<int>(blockIdx.x);
  const bool is_keys = blockIdx.y == 0;
  const SideOfHead to = side_of(args.op.kv, args.op.shape.kv_heads, index, is_keys);
  HeadCursor& head = args.op.kv.heads[index];
  const int packed = is_keys ? head.packed_keys : head.packed_values;
  const int ring = to.side->waiting_slots;
  if (to.side->waiting == nullptr || head.entries - packed < ring) {
    return;
  }
  const Source from = waiting_of(to, args.compute, args.op.shape.head_dim);
  const Form& form = to.side->form;
  int due = 1;
  if (form.per_channel) {
    due = ring;
    const int parts = (to.side->channels + kWarp - 1) / kWarp;
    for (int i = warp; i < ring / form.group * parts; i += kSettleWarps) {
      write_slots(
          to, from, scratch[warp], make_int2(packed + i / parts * form.group, i % parts * kWarp));
    }
  } else if (warp == 0) {
    write_row(to, from, scratch[0], make_int2(packed, packed));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    (is_keys ? head.packed_keys : head.packed_values) = packed + due;
  }
}

void check(const StoredSide& side, const HeadShape& shape) {
  KVG_EXPECT(shape.head_dim <= kMostChannels,
             "at most " + std::to_string(kMostChannels) + " channels");
  KVG_EXPECT(side.channels == shape.head_dim || side.kept_channels != nullptr,
             "all channels are stored unless kept_channels says which");
  KVG_EXPECT(side.kept_channels == nullptr || side.form.transform == Transform::kNone,
             "pruned keys are not transformed");
  KVG_EXPECT(
      !side.form.per_channel || (side.form.code == Code::kAsymmetric && side.form.bits <= 4 &&
                                 side.form.transform == Transform::kNone),
      "scales along slots are those of kAsymmetric with 2 or 4 bits, not transformed");
}

void check(const StoredView& view, const HeadShape& shape) {
  check(view.keys, shape);
  check(view.values, shape);
}

bool is_copy(const StoredSide& side, DType compute, int head_dim) {
  return side.form == native_form(compute) && side.kept_channels == nullptr &&
         side.waiting == nullptr && head_dim * size_of(compute) % 16 == 0;
}

}  // namespace

void append_entry(const Target& target, const AppendArgs& args) {
  check(args.to, args.shape);
  launch(target,
         append_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.batch * args.shape.kv_heads), 2),
          .threads = kWarp},
         args);
}

void store_entries(const Target& target, DType compute, const StoreArgs& args) {
  check(args.to, args.shape);
  const auto heads = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  // Enough blocks for a large card whatever the number of heads, and no more than there is work.
  constexpr unsigned kBusyBlocks = 4096;
  const unsigned rows = ceil_div(static_cast<std::size_t>(args.to.capacity), kWarps);
  const unsigned blocks = std::min(rows, ceil_div(kBusyBlocks, heads) + 1);
  const auto enqueue = [&](auto* kernel, int first_side, unsigned sides) {
    launch(target,
           kernel,
           {.blocks = dim3(blocks, heads, sides), .threads = kThreads},
           StoreKernelArgs{args, first_side});
  };
  const bool copies_keys = is_copy(args.to.keys, compute, args.shape.head_dim);
  const bool copies_values = is_copy(args.to.values, compute, args.shape.head_dim);
  if (copies_keys == copies_values) {
    enqueue(copies_keys ? copy_kernel : store_kernel, 0, 2);
    return;
  }
  enqueue(copies_keys ? copy_kernel : store_kernel, 0, 1);
  enqueue(copies_values ? copy_kernel : store_kernel, 1, 1);
}

void settle_entries(const Target& target, DType compute, const SettleArgs& args) {
  check(args.kv, args.shape);
  launch(target,
         settle_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.batch * args.shape.kv_heads), 2),
          .threads = kSettleThreads},
         SettleKernelArgs{args, compute});
}

}  // namespace kvg::kernels
