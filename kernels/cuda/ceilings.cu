#include <algorithm>
#include <cstdint>

#include "kernels/cuda/ceilings.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/graph.cuh"
#include "kernels/hash.h"

// What bounds decode is how fast memory is read: a grid that fills the device strides over a buffer
// forty times the cache of an H200, each thread with four 16-byte loads in flight. Reading writes
// nothing; copying reads the first half of the buffer and writes the second.

namespace kvg::kernels {
namespace {

constexpr std::size_t kMostMemory = std::size_t{2} << 30U;
// Below this a buffer would partly stay in the cache.
constexpr std::size_t kLeastMemory = std::size_t{512} << 20U;
constexpr std::size_t kPinnedBytes = std::size_t{64} << 20U;
constexpr int kInFlight = 4;
constexpr unsigned kThreads = 512;
constexpr unsigned kBlocksOfAMultiprocessor = 2;
constexpr int kRepeats = 10;
constexpr int kHalfSide = 8192;
constexpr int kFloatSide = 4096;
// Products timed together, so that the clock is one that the card holds.
constexpr int kProducts = 10;
constexpr int kEmptyKernels = 1000;

template <typename T>
__global__ void fill_kernel(T* out, std::size_t count) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  wait_for_inputs();
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    const auto bits = static_cast<std::uint32_t>(mixed(i) >> 40U);
    out[i] = from_float<T>(static_cast<float>(bits) * 0x1p-23F - 1.0F);
  }
}

// `rounds` times kInFlight packs a thread. Without kCopies nothing is written: no sum of random
// packs is all ones but by a chance of 2^-128 a thread.
template <bool kCopies>
__global__ void __launch_bounds__(kThreads, kBlocksOfAMultiprocessor)
    stream_kernel(const uint4* in, uint4* out, int rounds) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  uint4 folded = {};
  for (int round = 0; round < rounds; ++round, at += kInFlight * stride) {
    uint4 packs[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      packs[i] = __ldcs(in + at + i * stride);
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if constexpr (kCopies) {
        __stcs(out + at + i * stride, packs[i]);
      } else {
        folded.x ^= packs[i].x;
        folded.y ^= packs[i].y;
        folded.z ^= packs[i].z;
        folded.w ^= packs[i].w;
      }
    }
  }
  if constexpr (!kCopies) {
    if ((folded.x & folded.y & folded.z & folded.w) == 0xffffffffU) {
      *out = folded;
    }
  }
}

__global__ void empty_kernel() {
  allow_next();
  wait_for_inputs();
}

Grid whole_device(const Target& target) {
  return {.blocks = dim3(static_cast<unsigned>(target.multiprocessors) * kBlocksOfAMultiprocessor),
          .threads = kThreads};
}

template <typename T>
void fill(const Target& target, void* out, std::size_t bytes) {
  launch(target, fill_kernel<T>, whole_device(target), static_cast<T*>(out), bytes / sizeof(T));
}

void fill(const Target& target, DType dtype, void* out, std::size_t bytes) {
  switch (dtype) {
    case DType::kF16:
      return fill<__half>(target, out, bytes);
    case DType::kBF16:
      return fill<__nv_bfloat16>(target, out, bytes);
    case DType::kF32:
      return fill<float>(target, out, bytes);
  }
}

// Of several tries the best: what disturbs a try only ever makes it longer.
template <typename Work>
double best_seconds(cudaStream_t stream, int repeats, const Work& work) {
  work();
  double best = device_seconds(stream, work);
  for (int i = 1; i < repeats; ++i) {
    best = std::min(best, device_seconds(stream, work));
  }
  return best;
}

// Launched plainly: the first-level cache keeps the room that loads in flight take there.
template <bool kCopies>
void stream(const Target& target, const uint4* in, uint4* out, int rounds) {
  const Grid grid = whole_device(target);
  stream_kernel<kCopies><<<grid.blocks, grid.threads, 0, target.stream>>>(in, out, rounds);
  KVG_CUDA_CHECK(cudaGetLastError());
}

void measure_memory(const CeilingDevice& device, const Buffer& buffer, Ceilings& ceilings) {
  const Target& target = device.target;
  const std::size_t round =
      std::size_t{whole_device(target).blocks.x} * kThreads * kInFlight * sizeof(uint4);
  const int rounds = static_cast<int>(buffer.bytes() / round);
  auto* const data = buffer.as<uint4>();
  const double read =
      best_seconds(target.stream, kRepeats, [&] { stream<false>(target, data, data, rounds); });
  ceilings.read_gbps = static_cast<double>(round) * rounds / read / 1e9;
  const int half = rounds / 2;
  auto* const second = buffer.as<uint4>(round * static_cast<std::size_t>(half));
  const double copy =
      best_seconds(target.stream, kRepeats, [&] { stream<true>(target, data, second, half); });
  ceilings.copy_gbps = 2.0 * static_cast<double>(round) * half / copy / 1e9;
}

void measure_product(const CeilingDevice& device, const Buffer& buffer, Ceilings& ceilings) {
  const int side = device.compute == DType::kF32 ? kFloatSide : kHalfSide;
  const std::size_t matrix =
      static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * size_of(device.compute);
  if (3 * matrix + kGemmWorkspaceBytes > buffer.bytes()) {
    return;
  }
  Gemm gemm;
  const GemmArgs args = {.out = buffer.as<std::byte>(2 * matrix),
                         .out_dtype = device.compute,
                         .in = buffer.data(),
                         .weight = buffer.as<std::byte>(matrix),
                         .dtype = device.compute,
                         .rows = side,
                         .out_features = side,
                         .in_features = side};
  const double seconds = best_seconds(device.target.stream, kRepeats / 2, [&] {
    for (int i = 0; i < kProducts; ++i) {
      gemm.multiply(device.target.stream, args, buffer.as<std::byte>(3 * matrix));
    }
  });
  ceilings.gemm_tflops = 2.0 * side * side * side * kProducts / seconds / 1e12;
}

double empty_kernel_seconds(const CeilingDevice& device) {
  const Target& target = device.target;
  const auto step = [&target] {
    for (int i = 0; i < kEmptyKernels; ++i) {
      launch(target, empty_kernel, {.blocks = dim3(1), .threads = 32});
    }
  };
  step();
  const auto graph = capture_graph(device.device, target.stream, step);
  return best_seconds(target.stream, kRepeats, [&graph] { graph->launch(); }) / kEmptyKernels;
}

double upload_seconds(cudaStream_t stream, const Buffer& buffer, const Buffer& pinned) {
  return best_seconds(stream, kRepeats / 2, [&] {
    KVG_CUDA_CHECK(cudaMemcpyAsync(
        buffer.data(), pinned.data(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  });
}

}  // namespace

Ceilings measure_cuda_ceilings(const CeilingDevice& device,
                               const CeilingPools& pools,
                               const CeilingSizes& sizes) {
  Ceilings ceilings;
  if (const std::size_t bytes = std::min(kMostMemory, sizes.room); bytes >= kLeastMemory) {
    const Buffer buffer = pools.device.allocate(bytes, MemoryClass::kWorkspace);
    fill(device.target, device.compute, buffer.data(), buffer.bytes());
    measure_memory(device, buffer, ceilings);
    // Copying has left random values everywhere.
    measure_product(device, buffer, ceilings);
    const Buffer pinned = pools.pinned.allocate(kPinnedBytes, MemoryClass::kWorkspace);
    ceilings.h2d_gbps = static_cast<double>(kPinnedBytes) /
                        upload_seconds(device.target.stream, buffer, pinned) / 1e9;
  }
  // Last, when the clocks have come up.
  ceilings.kernel_us = empty_kernel_seconds(device) * 1e6;
  return ceilings;
}

}  // namespace kvg::kernels
