#pragma once

#include <algorithm>

#include "kernels/cuda/attend_lane.cuh"
#include "kernels/cuda/attend_solo.cuh"
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/head_dim.cuh"

// The kernel of decode attention and its launch, for one pair of form classes. `Reader` is
// AttendLane, AttendTile or AttendSolo.

namespace kvg::kernels {

/// Where a block's shared memory goes, in floats: what a reader stages, then queries and rows on
/// their way, which give way to the parts of warps and what is made of them.
struct AttendShared {
  int parts = 0;
  int merged = 0;
  int total = 0;
};

template <typename Reader>
__host__ __device__ inline AttendShared attend_shared(int head_dim) {
  constexpr int kGroup = Reader::kGroup;
  AttendShared at;
  at.parts = Reader::staged_floats(head_dim);
  at.merged = at.parts + Reader::kThreads / kWarp * kGroup * (head_dim + 2);
  const int results =
      kGroup * head_dim > 4 * Reader::kThreads ? kGroup * head_dim : 4 * Reader::kThreads;
  const int merged_end = at.merged + kGroup * kMaxChunks + results;
  const int sets_end = at.parts + Reader::kSets * kGroup * head_dim + Reader::kRingBytes / 4;
  at.total = merged_end > sets_end ? merged_end : sets_end;
  return at;
}

template <int Group>
__device__ inline BlockWork block_work(const AttendKernelArgs& args) {
  const int kv_head = static_cast<int>(blockIdx.y) / args.tiles;
  const std::int64_t batch = blockIdx.z;
  const int first = static_cast<int>(blockIdx.y) % args.tiles * Group;
  BlockWork work;
  work.head = batch * args.shape.kv_heads + kv_head;
  const HeadCursor& head = args.heads[work.head];
  work.row = batch * args.slots + head.start;
  work.key_row = args.key_head_rows > 0 ? work.head * args.key_head_rows : work.row;
  work.first_query =
      batch * args.shape.heads + static_cast<std::int64_t>(kv_head) * args.group + first;
  work.queries = min(Group, args.group - first);
  work.entries = head.entries;
  work.packed_keys = head.packed_keys;
  work.packed_values = head.packed_values;
  int visible = head.entries;
  if (args.pages.pages != nullptr) {
    // Pages that are there come first, and no head has more of them than its entries fill.
    const int page = args.pages.page;
    visible = min(args.pages.count, (head.entries + page - 1) / page) * page;
  }
  const int length = chunk_length(visible, args.most_chunks);
  work.chunks = (visible + length - 1) / length;
  work.begin = static_cast<int>(blockIdx.x) * length;
  work.end = min(visible, work.begin + length);
  return work;
}

template <typename Reader>
__global__ void __launch_bounds__(Reader::kThreads, Reader::kBlocks)
    attend_kernel(const __grid_constant__ AttendKernelArgs args) {
  extern __shared__ __align__(16) float shared[];
  allow_next();
  wait_for_inputs();
  // Kept here rather than in registers: much of it is needed at the end alone.
  __shared__ BlockWork work;
  if (threadIdx.x == 0) {
    work = block_work<Reader::kGroup>(args);
  }
  __syncthreads();
  if (static_cast<int>(blockIdx.x) >= work.chunks) {
    return;
  }
  Reader reader(args, work, shared);
  reader.attend(shared);
  __syncthreads();  // the place of queries and rows is free
  const AttendShared at = attend_shared<Reader>(args.shape.head_dim);
  float* sums = shared + at.parts;
  constexpr int kParts = Reader::kThreads / kWarp * Reader::kGroup;
  float* largest = sums + kParts * args.shape.head_dim;
  const WarpParts parts = {.sums = sums, .largest = largest, .weights = largest + kParts};
  reader.leave(parts);
  __syncthreads();
  finish_block<Reader::kGroup, Reader::kThreads>(args, work, parts, shared + at.merged);
}

template <typename Reader>
void launch_reader(const Target& target, AttendKernelArgs args) {
  args.tiles = static_cast<int>(ceil_div(static_cast<std::size_t>(args.group), Reader::kGroup));
  launch(target,
         attend_kernel<Reader>,
         {.blocks = dim3(static_cast<unsigned>(args.chunks),
                         static_cast<unsigned>(args.shape.kv_heads * args.tiles),
                         static_cast<unsigned>(args.batch)),
          .threads = Reader::kThreads,
          .shared_bytes = sizeof(float) * static_cast<std::size_t>(
                                              attend_shared<Reader>(args.shape.head_dim).total)},
         args);
}

template <FormClass Keys, FormClass Values, int Group, bool Paged>
void launch_lanes(const Target& target, AttendKernelArgs args) {
  constexpr int kChannels = lane_channels({Keys, Values}, Group);
  args.lanes = 1;
  while (args.lanes * kChannels < args.shape.head_dim) {
    args.lanes *= 2;
  }
  launch_reader<AttendLane<Keys, Values, kChannels, Group, Paged>>(target, args);
}

template <FormClass Keys, FormClass Values, bool Paged>
void launch_tiles(const Target& target, const AttendKernelArgs& args) {
  dispatch_head_dim("decode attention", args.shape.head_dim, [&](auto dim) {
    if constexpr (has_tiles<Keys, dim>() && has_tiles<Values, dim>()) {
      launch_reader<AttendTile<Keys, Values, dim, Paged>>(target, args);
    }
  });
}

template <FormClass Keys, FormClass Values, bool Paged>
void launch_solo(const Target& target, const AttendKernelArgs& args) {
  dispatch_head_dim("decode attention", args.shape.head_dim, [&](auto dim) {
    if constexpr (has_solo(Keys, dim) && has_solo(Values, dim)) {
      launch_reader<AttendSolo<Keys, Values, dim, Paged>>(target, args);
    }
  });
}

template <FormClass Keys, FormClass Values, bool Paged>
void launch_kind(const Target& target, const AttendKernelArgs& args, AttendKind kind) {
  if (kind.reader == AttendKind::Reader::kTiles) {
    launch_tiles<Keys, Values, Paged>(target, args);
  } else if (kind.reader == AttendKind::Reader::kSolo) {
    launch_solo<Keys, Values, Paged>(target, args);
  } else if (kind.group == 1) {
    launch_lanes<Keys, Values, 1, Paged>(target, args);
  } else {
    launch_lanes<Keys, Values, 4, Paged>(target, args);
  }
}

template <FormClass Keys, FormClass Values>
void launch_attend(const Target& target, const AttendKernelArgs& args, AttendKind kind) {
  if (args.pages.pages == nullptr) {
    launch_kind<Keys, Values, false>(target, args, kind);
  } else {
    launch_kind<Keys, Values, true>(target, args, kind);
  }
}

}  // namespace kvg::kernels
