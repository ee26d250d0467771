#pragma once

#include <algorithm>

#include "kernels/cuda/attend_lane.cuh"

// The kernel of decode attention and its launch, for one pair of form classes.

namespace kvg::kernels {

/// Where a block's shared memory goes, in floats: levels of keys and values, then queries, which
/// give way to the parts of warps and what is made of them.
struct AttendShared {
  int key_levels = 0;
  int value_levels = 0;
  int sets = 0;
  int parts = 0;
  int merged = 0;
  int total = 0;
};

template <FormClass Keys, FormClass Values, int Group>
__host__ __device__ inline AttendShared attend_shared(int head_dim) {
  constexpr bool kWaits = is_pruned(Keys) || is_per_channel(Keys);
  AttendShared at;
  at.value_levels = at.key_levels + (is_table(Keys) ? kWarp << bits_of(Keys) : 0);
  at.sets = at.value_levels + (is_table(Values) ? kWarp << bits_of(Values) : 0);
  at.parts = at.sets;
  at.merged = at.parts + kAttendWarps * Group * (head_dim + 2);
  const int results = Group * head_dim > 4 * kAttendThreads ? Group * head_dim : 4 * kAttendThreads;
  const int merged_end = at.merged + Group * kMaxChunks + results;
  const int sets_end = at.sets + (kWaits ? 4 : 2) * Group * head_dim;
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

template <FormClass Keys, FormClass Values, int C, int Group, bool Paged>
__global__ void __launch_bounds__(kAttendThreads, Group == 8 ? 2 : 3)
    attend_kernel(const __grid_constant__ AttendKernelArgs args) {
  extern __shared__ __align__(16) float shared[];
  allow_next();
  wait_for_inputs();
  // Kept here rather than in registers: much of it is needed at the end alone.
  __shared__ BlockWork work;
  if (threadIdx.x == 0) {
    work = block_work<Group>(args);
  }
  __syncthreads();
  if (static_cast<int>(blockIdx.x) >= work.chunks) {
    return;
  }
  const AttendShared at = attend_shared<Keys, Values, Group>(args.shape.head_dim);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane_id = static_cast<int>(threadIdx.x) % kWarp;
  AttendLane<Keys, Values, C, Group, Paged> lane(args, work);
  lane.sets = shared + at.sets;
  lane.key_levels = shared + at.key_levels + lane_id;
  lane.value_levels = shared + at.value_levels + lane_id;
  lane.attend(warp, [&] {
    if constexpr (is_table(Keys)) {
      stage_levels(args.keys.form, shared + at.key_levels);
    }
    if constexpr (is_table(Values)) {
      stage_levels(args.values.form, shared + at.value_levels);
    }
    stage_queries<Group>(args, work, shared + at.sets, lane.kWaits);
    __syncthreads();
  });
  __syncthreads();  // the queries' place is free
  float* sums = shared + at.parts;
  float* largest = sums + kAttendWarps * Group * args.shape.head_dim;
  const WarpParts parts = {
      .sums = sums, .largest = largest, .weights = largest + kAttendWarps * Group};
  lane.leave(warp, parts);
  __syncthreads();
  finish_block<Group>(args, work, parts, shared + at.merged);
}

template <FormClass Keys, FormClass Values, int Group, bool Paged>
void launch_attend_group(const Target& target, AttendKernelArgs args) {
  constexpr int kChannels = lane_channels({Keys, Values}, Group);
  if constexpr (kChannels > 0) {
    args.tiles = static_cast<int>(ceil_div(static_cast<std::size_t>(args.group), Group));
    args.lanes = 1;
    while (args.lanes * kChannels < args.shape.head_dim) {
      args.lanes *= 2;
    }
    const AttendShared shared = attend_shared<Keys, Values, Group>(args.shape.head_dim);
    launch(target,
           attend_kernel<Keys, Values, kChannels, Group, Paged>,
           {.blocks = dim3(static_cast<unsigned>(args.chunks),
                           static_cast<unsigned>(args.shape.kv_heads * args.tiles),
                           static_cast<unsigned>(args.batch)),
            .threads = kAttendThreads,
            .shared_bytes = sizeof(float) * static_cast<std::size_t>(shared.total)},
           args);
  }
}

template <FormClass Keys, FormClass Values, bool Paged>
void launch_attend_groups(const Target& target, const AttendKernelArgs& args, int group) {
  if (group == 1) {
    launch_attend_group<Keys, Values, 1, Paged>(target, args);
  } else if (group == 4) {
    launch_attend_group<Keys, Values, 4, Paged>(target, args);
  } else {
    launch_attend_group<Keys, Values, 8, Paged>(target, args);
  }
}

template <FormClass Keys, FormClass Values>
void launch_attend(const Target& target, const AttendKernelArgs& args, int group) {
  if (args.pages.pages == nullptr) {
    launch_attend_groups<Keys, Values, false>(target, args, group);
  } else {
    launch_attend_groups<Keys, Values, true>(target, args, group);
  }
}

}  // namespace kvg::kernels
