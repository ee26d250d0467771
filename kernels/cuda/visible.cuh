#pragma once

#include "kernels/backend.h"

namespace kvg::kernels {

/// Keys [begin, end) that a block of queries goes over in order: the sinks, or those behind them
/// that any of its queries sees.
struct KeyStretch {
  bool of_sinks = false;
  int begin = 0;
  int end = 0;

  /// The first and the last of them that a query at `position` sees; none when they cross.
  __device__ int2 seen(const Visibility& sees, int position) const {
    return of_sinks ? make_int2(0, position) : make_int2(sees.first_of(position), position);
  }
};

/// For queries at positions below `end`.
__device__ inline KeyStretch sinks_of(const PrefillAttendArgs& args, int end) {
  return {.of_sinks = true, .begin = 0, .end = min(args.sees.sinks, end)};
}

/// For queries at positions [first, end).
__device__ inline KeyStretch others_of(const PrefillAttendArgs& args, int first, int end) {
  return {.of_sinks = false, .begin = args.sees.first_of(first), .end = end};
}

}  // namespace kvg::kernels
