#pragma once

#include <cstdint>

#include <cuda.h>

namespace kvg::kernels {

// Copies of rows and of boxes of a tensor between global and shared memory by Hopper's copy unit
// (sm_90 and later), and the barriers in shared memory that tell of their arrival.

/// Where a box begins.
struct BoxStart {
  int at[4];
};

__device__ inline unsigned barrier_address(const std::uint64_t& barrier) {
  return static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
}

/// One thread sets up barriers, whose phase ends after `arrivals` arrivals and all the bytes that
/// were announced; the block synchronises after publish_barriers().
__device__ inline void make_barrier(std::uint64_t& barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier_address(barrier)),
               "r"(arrivals));
}
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void arrive(std::uint64_t& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier_address(barrier))
               : "memory");
}

/// Arrives and announces what copies will bring.
__device__ inline void arrive_expecting(std::uint64_t& barrier, unsigned bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier_address(barrier)),
      "r"(bytes)
      : "memory");
}

/// Waits for the end of the phase of this parity; a new barrier is in phase 0, after one of
/// parity 1.
__device__ inline void wait_phase(std::uint64_t& barrier, unsigned parity) {
  unsigned done = 0;
  do {
    asm volatile(
        "{\n.reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n}"
        : "=r"(done)
        : "r"(barrier_address(barrier)), "r"(parity)
        : "memory");
  } while (done == 0);
}

__device__ inline void load_box(void* shared,
                                const CUtensorMap& tensor,
                                const BoxStart& start,
                                std::uint64_t& arrived) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(&tensor),
      "r"(start.at[0]),
      "r"(start.at[1]),
      "r"(start.at[2]),
      "r"(start.at[3]),
      "r"(barrier_address(arrived))
      : "memory");
}

/// For copies of what is not read again before everything else is.
__device__ inline std::uint64_t read_once_policy() {
  std::uint64_t policy = 0;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

/// A multiple of 16 bytes from and to multiples of 16; `policy`: of the second-level cache.
__device__ inline void load_bytes(
    void* shared, const void* from, unsigned bytes, std::uint64_t& arrived, std::uint64_t policy) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
      "[%1], %2, [%3], %4;" ::"r"(to),
      "l"(from),
      "r"(bytes),
      "r"(barrier_address(arrived)),
      "l"(policy)
      : "memory");
}

/// Every thread that wrote the box calls publish_box() before the threads synchronise.
__device__ inline void publish_box() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ inline void store_box(const CUtensorMap& tensor,
                                 const BoxStart& start,
                                 const void* shared) {
  const auto from = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(
          &tensor),
      "r"(start.at[0]),
      "r"(start.at[1]),
      "r"(start.at[2]),
      "r"(start.at[3]),
      "r"(from)
      : "memory");
}

__device__ inline void commit_stores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Waits until this thread's stores have read shared memory.
__device__ inline void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

/// Waits until they are done.
__device__ inline void wait_stores() {
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

}  // namespace kvg::kernels
