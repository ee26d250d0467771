#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace kvg::kernels::cpu {

/// Ascends with the figure; equal for 0 and -0.
inline std::uint64_t rank_of(double figure) {
  const auto bits = std::bit_cast<std::uint64_t>(figure + 0.0);
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63U;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// Where the largest end: those of a rank above `rank`, and `equals` of those that have it.
struct Cut {
  std::uint64_t rank = 0;
  int equals = 0;
};

/// The `count` largest of rank(0) .. rank(width - 1), 0 < count <= width. Finds the rank of the
/// last of them byte by byte, from histograms, and so needs no memory.
template <typename Rank>
Cut cut_of(int width, int count, const Rank& rank) {
  Cut cut = {.rank = 0, .equals = count};
  std::uint64_t known = 0;
  for (unsigned shift = 64; shift > 0;) {
    shift -= 8;
    int histogram[256] = {};
    for (int i = 0; i < width; ++i) {
      const std::uint64_t r = rank(i);
      if ((r & known) == cut.rank) {
        ++histogram[(r >> shift) & 0xffU];
      }
    }
    std::uint64_t byte = 255;
    for (; histogram[byte] < cut.equals; --byte) {
      cut.equals -= histogram[byte];
    }
    cut.rank |= byte << shift;
    known |= std::uint64_t{0xff} << shift;
  }
  return cut;
}

/// Calls take(i), ascending, for the `count` largest; of equals the last. rank(i) is not asked for
/// any more once take() was called for an index above i.
template <typename Rank, typename Take>
void for_largest(int width, int count, const Rank& rank, const Take& take) {
  if (count <= 0) {
    return;
  }
  const Cut cut = cut_of(width, std::min(count, width), rank);
  int passed_over = -cut.equals;
  for (int i = 0; i < width; ++i) {
    passed_over += rank(i) == cut.rank ? 1 : 0;
  }
  for (int i = 0; i < width; ++i) {
    const std::uint64_t r = rank(i);
    const bool equal = r == cut.rank;
    if (r > cut.rank || (equal && passed_over <= 0)) {
      take(i);
    }
    passed_over -= equal ? 1 : 0;
  }
}

}  // namespace kvg::kernels::cpu
