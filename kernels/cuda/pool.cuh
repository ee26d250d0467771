#pragma once

#include <cuda_runtime_api.h>

#include "kernels/core/memory.h"

namespace kvg::kernels {

/// A device's memory: a pool of its own that keeps what it once reserved, so that allocations in
/// the order of one stream cost no driver call and its high-water marks are this backend's alone.
class DevicePool final : public Pool {
 public:
  /// Allocates and frees in the order of `stream`, which outlives the pool.
  DevicePool(int device, cudaStream_t stream);
  ~DevicePool() override;
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;

 private:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* data, std::size_t bytes) noexcept override;
  [[nodiscard]] AllocatorPeaks do_peaks(std::size_t requested_peak) const override;
  void do_reset_peaks() override;

  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
};

/// Pinned host memory that the device reads and writes at the same address.
class PinnedPool final : public Pool {
 public:
  explicit PinnedPool(cudaStream_t stream) : stream_(stream) {}

 private:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* data, std::size_t bytes) noexcept override;
  [[nodiscard]] AllocatorPeaks do_peaks(std::size_t requested_peak) const override;
  void do_reset_peaks() override {}

  cudaStream_t stream_ = nullptr;
};

}  // namespace kvg::kernels
