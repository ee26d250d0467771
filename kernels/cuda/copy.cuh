#pragma once

#include "kernels/cuda/element.cuh"

namespace kvg::kernels {

/// Starts a 16-byte copy from global to shared memory; zeros instead of what lies outside.
template <typename T>
__device__ inline void copy_async(T* shared, const T* from, bool inside) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0));
}

__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;");
}

/// Waits until at most `Pending` committed groups of this thread are under way.
template <int Pending>
__device__ inline void wait_own_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// The same for the whole block.
template <int Pending>
__device__ inline void wait_copies() {
  wait_own_copies<Pending>();
  __syncthreads();
}

/// Moves `rows` rows of Dim elements from global memory to shared rows of `Stride` elements, as one
/// group of copies; rows from `present` on become zeros.
template <typename T, int Dim, int Stride, int Threads>
__device__ inline void copy_rows(T* shared, const T* from, int2 rows_present, std::int64_t pitch) {
  constexpr int kCount = Pack<T>::kCount;
  constexpr int kPacks = Dim / kCount;
  for (int i = threadIdx.x; i < rows_present.x * kPacks; i += Threads) {
    const int row = i / kPacks;
    const int at = i % kPacks * kCount;
    const bool inside = row < rows_present.y;
    copy_async(shared + row * Stride + at, from + (inside ? row * pitch + at : 0), inside);
  }
  commit_copies();
}

}  // namespace kvg::kernels
