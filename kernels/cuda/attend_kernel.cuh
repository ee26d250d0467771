#pragma once

#include <algorithm>

#include "kernels/cuda/arguments.cuh"
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
__host__ __device__ constexpr AttendShared attend_shared(int head_dim) {
  constexpr int kGroup = Reader::kGroup;
  AttendShared at;
  at.parts = Reader::staged_floats(head_dim);
  at.merged = at.parts + Reader::kThreads / kWarp * kGroup * (head_dim + 2);
  const int merged_end = at.merged + kGroup * head_dim;
  const int sets_end = at.parts + Reader::kSets * kGroup * head_dim + Reader::kRingBytes / 4;
  at.total = merged_end > sets_end ? merged_end : sets_end;
  return at;
}

/// Blocks of a batch row.
__host__ __device__ inline int row_blocks(const AttendKernelArgs& args) {
  return args.chunks * args.shape.kv_heads * args.tiles;
}

template <typename Reader>
__device__ inline BlockWork block_work(const AttendKernelArgs& args) {
  const auto block = static_cast<int>(blockIdx.x);
  const int batch = block / row_blocks(args);
  const int part = (block - batch * row_blocks(args)) / args.chunks;  // of a batch row
  const int kv_head = part / args.tiles;
  const int first = (part - kv_head * args.tiles) * Reader::kGroup;
  BlockWork work;
  work.chunk = block - batch * row_blocks(args) - part * args.chunks;
  work.head = static_cast<std::int64_t>(batch) * args.shape.kv_heads + kv_head;
  const HeadCursor& head = args.heads[work.head];
  work.row = batch * args.slots + head.start;
  work.key_row = args.key_head_rows > 0 ? work.head * args.key_head_rows : work.row;
  work.first_query =
      (static_cast<std::int64_t>(batch) * args.shape.kv_heads + kv_head) * args.group + first;
  work.queries = min(Reader::kGroup, args.group - first);
  work.entries = head.entries;
  work.packed_keys = head.packed_keys;
  work.packed_values = head.packed_values;
  int visible = head.entries;
  if (args.pages.pages != nullptr) {
    // Pages that are there come first, and no head has more of them than its entries fill.
    const int page = args.pages.page;
    visible = min(args.pages.count, (head.entries + page - 1) / page) * page;
  }
  const int length = chunk_length(visible, args.most_chunks, Reader::kChunkUnit);
  work.chunks = (visible + length - 1) / length;
  work.begin = work.chunk * length;
  work.end = min(visible, work.begin + length);
  return work;
}

template <typename Reader>
__global__ void __launch_bounds__(Reader::kThreads, Reader::kBlocks)
    attend_kernel(const __grid_constant__ AttendKernelArgs args) {
  extern __shared__ __align__(128) float shared[];  // as bulk copies are fastest
  allow_next();
  fetch_arguments(args);
  wait_for_inputs();
  if (static_cast<int>(blockIdx.x) >= args.batch * row_blocks(args)) {
    return;  // it kept small blocks from crowding on a multiprocessor that the next kernel wants
  }
  // Kept here rather than in registers: much of it is needed at the end alone.
  __shared__ BlockWork work;
  if (threadIdx.x == 0) {
    work = block_work<Reader>(args);
  }
  __syncthreads();
  if (work.chunk >= work.chunks) {
    leave_nothing<Reader::kThreads>(args, work);
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
         {.blocks = dim3(static_cast<unsigned>(
              std::max(args.batch * row_blocks(args), target.multiprocessors))),
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
      if constexpr (fits_beside({Keys, Values})) {
        using Small = AttendTile<Keys, Values, dim, Paged, true>;
        static_assert(sizeof(float) * attend_shared<Small>(dim).total + Small::kDeclaredBytes +
                          kReservedBytes <=
                      small_bytes(dim));
        if (args.small) {
          return launch_reader<Small>(target, args);
        }
      }
      launch_reader<AttendTile<Keys, Values, dim, Paged, false>>(target, args);
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
