#pragma once

#include "kernels/cuda/scoring_reduce.cuh"

// The largest of a row, by a block of kScoringBlock threads.
namespace kvg::kernels {

/// What an entry has to reach to be among the largest: first by key, of equals by tie.
struct Threshold {
  std::uint64_t key = 0;
  std::uint64_t tie = 0;
};

/// Ascends with the figure; equal for 0 and -0.
__device__ inline std::uint64_t rank_of(double figure) {
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(figure + 0.0));
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63U;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// True for what is among the largest.
__device__ inline bool reaches(const Threshold& threshold, std::uint64_t key, std::uint64_t tie) {
  return key > threshold.key || (key == threshold.key && tie >= threshold.tie);
}

namespace detail {

inline constexpr int kBins = 256;

struct SelectShared {
  unsigned histogram[kBins];
  unsigned wanted;  // of those in the bin that was found
  unsigned present;
  int bin;
};

/// Counts a warp's bins; -1 does not count.
__device__ inline void count_bin(SelectShared& shared, int bin) {
  const unsigned peers = __match_any_sync(kAllLanes, bin);
  const int lane = threadIdx.x % kWarp;
  if (bin >= 0 && __ffs(static_cast<int>(peers)) - 1 == lane) {
    atomicAdd(&shared.histogram[bin], static_cast<unsigned>(__popc(peers)));
  }
}

/// The bin in which the `wanted` largest end, by the first warp.
__device__ inline void find_bin(SelectShared& shared, unsigned wanted) {
  constexpr int kOwn = kBins / kWarp;
  const int lane = threadIdx.x % kWarp;
  // Lane 0 has the highest bins.
  const int top = kBins - 1 - lane * kOwn;
  unsigned own = 0;
  for (int i = 0; i < kOwn; ++i) {
    own += shared.histogram[top - i];
  }
  unsigned above = own;
  for (int step = 1; step < kWarp; step *= 2) {
    const unsigned other = __shfl_up_sync(kAllLanes, above, static_cast<unsigned>(step));
    above += lane >= step ? other : 0;
  }
  above -= own;
  if (above < wanted && wanted <= above + own) {
    for (int i = 0;; ++i) {
      const unsigned here = shared.histogram[top - i];
      if (wanted <= above + here) {
        shared.bin = top - i;
        shared.wanted = wanted - above;
        shared.present = here;
        break;
      }
      above += here;
    }
  }
}

/// Finds the digits of a threshold, the highest first, among those `is_in`. True when the rest of
/// the digits does not matter, as all in the last bin are wanted.
template <typename Value, typename IsIn>
__device__ bool find_digits(SelectShared& shared,
                            int width,
                            unsigned first_shift,
                            unsigned& wanted,
                            std::uint64_t& found,
                            const Value& value,
                            const IsIn& is_in) {
  std::uint64_t known = 0;
  for (int shift = static_cast<int>(first_shift); shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < kBins; i += kScoringBlock) {
      shared.histogram[i] = 0;
    }
    __syncthreads();
    for (int first = 0; first < width; first += kScoringBlock) {
      const int i = first + static_cast<int>(threadIdx.x);
      int bin = -1;
      if (i < width && is_in(i)) {
        const std::uint64_t v = value(i);
        bin = (v & known) == found ? static_cast<int>((v >> shift) & 0xffU) : -1;
      }
      count_bin(shared, bin);
    }
    __syncthreads();
    if (threadIdx.x < kWarp) {
      find_bin(shared, wanted);
    }
    __syncthreads();
    found |= static_cast<std::uint64_t>(shared.bin) << shift;
    known |= std::uint64_t{0xff} << shift;
    wanted = shared.wanted;
    const bool whole = shared.wanted == shared.present;
    __syncthreads();
    if (whole) {
      return true;
    }
  }
  return false;
}

}  // namespace detail

/// The threshold of the `count` largest of key(0) .. key(width - 1); of equals those with the
/// largest tie(i), which is below 2^32 and differs between equals. Every thread gets it.
template <typename Key, typename Tie>
__device__ Threshold select_largest(int width, int count, const Key& key, const Tie& tie) {
  __shared__ detail::SelectShared shared;
  if (count <= 0) {
    return {~std::uint64_t{0}, ~std::uint64_t{0}};
  }
  Threshold threshold = {0, 0};
  if (count >= width) {
    return threshold;
  }
  auto wanted = static_cast<unsigned>(count);
  const bool done =
      detail::find_digits(shared, width, 56, wanted, threshold.key, key, [](int) { return true; });
  if (!done) {
    detail::find_digits(shared, width, 24, wanted, threshold.tie, tie, [&](int i) {
      return key(i) == threshold.key;
    });
  }
  return threshold;
}

/// Calls take(i, index) for every i below `width` that is kept, index counting them in ascending
/// order. Every thread gets their number.
template <typename IsKept, typename Take>
__device__ int keep_in_order(int width, const IsKept& is_kept, const Take& take) {
  constexpr int kWarps = kScoringBlock / kWarp;
  __shared__ int counts[2][kWarps];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  int before = 0;
  for (int first = 0, turn = 0; first < width; first += kScoringBlock, turn ^= 1) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool kept = i < width && is_kept(i);
    const unsigned votes = __ballot_sync(kAllLanes, kept);
    if (lane == 0) {
      counts[turn][warp] = __popc(votes);
    }
    __syncthreads();
    int index = before + __popc(votes & ((1U << lane) - 1U));
    for (int other = 0; other < kWarps; ++other) {
      const int count = counts[turn][other];
      index += other < warp ? count : 0;
      before += count;
    }
    if (kept) {
      take(i, index);
    }
  }
  return before;
}

}  // namespace kvg::kernels
