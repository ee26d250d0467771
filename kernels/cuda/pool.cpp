#include "kernels/cuda/pool.cuh"

#include <cstdint>
#include <limits>

#include "kernels/cuda/check.cuh"

namespace kvg::kernels {
namespace {

std::size_t read_mark(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  std::uint64_t bytes = 0;
  KVG_CUDA_CHECK(cudaMemPoolGetAttribute(pool, attribute, &bytes));
  return bytes;
}

// The only value a mark takes is 0, which re-arms it at what is held now.
void rearm_mark(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  std::uint64_t zero = 0;
  KVG_CUDA_CHECK(cudaMemPoolSetAttribute(pool, attribute, &zero));
}

// Null when there is no room; anything but that is thrown.
void* unless_full(cudaError_t status, void* data) {
  if (status == cudaErrorMemoryAllocation) {
    ignore_cuda(status);
    return nullptr;
  }
  KVG_CUDA_CHECK(status);
  return data;
}

}  // namespace

DevicePool::DevicePool(int device, cudaStream_t stream) : device_(device), stream_(stream) {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  KVG_CUDA_CHECK(cudaMemPoolCreate(&pool_, &properties));
  std::uint64_t keep_all = std::numeric_limits<std::uint64_t>::max();
  const cudaError_t status =
      cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all);
  if (status != cudaSuccess) {
    ignore_cuda(cudaMemPoolDestroy(pool_));
  }
  KVG_CUDA_CHECK(status);
}

DevicePool::~DevicePool() {
  ignore_cuda(cudaSetDevice(device_));
  ignore_cuda(cudaStreamSynchronize(stream_));
  ignore_cuda(cudaMemPoolDestroy(pool_));
}

void* DevicePool::do_allocate(std::size_t bytes) {
  KVG_CUDA_CHECK(cudaSetDevice(device_));
  void* data = nullptr;
  cudaError_t status = cudaMallocFromPoolAsync(&data, bytes, pool_, stream_);
  if (status == cudaErrorMemoryAllocation) {
    // What was freed may still be kept in pieces of the wrong size: hand it back and ask again.
    ignore_cuda(status);
    KVG_CUDA_CHECK(cudaStreamSynchronize(stream_));
    KVG_CUDA_CHECK(cudaMemPoolTrimTo(pool_, 0));
    status = cudaMallocFromPoolAsync(&data, bytes, pool_, stream_);
  }
  return unless_full(status, data);
}

void DevicePool::do_release(void* data, std::size_t) noexcept {
  ignore_cuda(cudaSetDevice(device_));
  ignore_cuda(cudaFreeAsync(data, stream_));
}

Pool::AllocatorPeaks DevicePool::do_peaks(std::size_t) const {
  return {.used = read_mark(pool_, cudaMemPoolAttrUsedMemHigh),
          .reserved = read_mark(pool_, cudaMemPoolAttrReservedMemHigh)};
}

void DevicePool::do_reset_peaks() {
  // What was freed but kept would stay in the reserved mark, and a run would depend on the one
  // before it.
  KVG_CUDA_CHECK(cudaSetDevice(device_));
  KVG_CUDA_CHECK(cudaStreamSynchronize(stream_));
  KVG_CUDA_CHECK(cudaMemPoolTrimTo(pool_, 0));
  rearm_mark(pool_, cudaMemPoolAttrUsedMemHigh);
  rearm_mark(pool_, cudaMemPoolAttrReservedMemHigh);
}

void* PinnedPool::do_allocate(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status =
      cudaHostAlloc(&data, bytes, cudaHostAllocMapped | cudaHostAllocPortable);
  return unless_full(status, data);
}

void PinnedPool::do_release(void* data, std::size_t) noexcept {
  // Freeing pinned memory is not ordered by a stream: what still uses it must finish first.
  ignore_cuda(cudaStreamSynchronize(stream_));
  ignore_cuda(cudaFreeHost(data));
}

Pool::AllocatorPeaks PinnedPool::do_peaks(std::size_t requested_peak) const {
  return {.used = requested_peak, .reserved = requested_peak};
}

}  // namespace kvg::kernels
