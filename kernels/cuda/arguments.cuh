#pragma once

namespace kvg::kernels {

/// By all threads of a block that has to wait anyway: arguments lie far away, and come a line at a
/// time where they are used first; here all lines come at once.
template <typename Arguments>
__device__ inline void fetch_arguments(const Arguments& arguments) {
  constexpr int kWarpThreads = 32;
  constexpr int kLineWords = 16;
  constexpr int kWords = sizeof(Arguments) / sizeof(int);
  const auto* words = reinterpret_cast<const int*>(&arguments);
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  for (int i = static_cast<int>(threadIdx.x) / kWarpThreads * kLineWords; i < kWords;
       i += warps * kLineWords) {
    asm volatile("" ::"r"(words[i]));
  }
}

}  // namespace kvg::kernels
