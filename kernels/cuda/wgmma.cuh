#pragma once

#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace kvg::kernels {

// Matrix products of a warpgroup, 128 consecutive threads, on Hopper (compute_90a). They run beside
// the program: operands in shared memory and registers stay as they are, and sums are not read,
// until wait_products() says so.
//
// Thread t of the warpgroup holds rows t / 32 * 16 + t % 32 / 4 + {0, 8} of a sum [64, n]: words
// 4 i .. 4 i + 3 are columns 8 i + t % 4 * 2 + {0, 1} of the first row, then of the second.

/// How a matrix of 16-bit elements lies in shared memory: parts of kColumns columns behind one
/// another, each as tensor copies of such boxes swizzle it.
struct SharedLayout {
  static constexpr int kColumns = 64;
  static constexpr unsigned kRowBytes = kColumns * 2;
  static constexpr unsigned kEightRows = 8 * kRowBytes;  ///< the swizzle repeats after these

  /// Where 16-byte chunk `chunk` of row `row` of a part lies, in bytes from the part's start.
  __device__ static unsigned place(unsigned row, unsigned chunk) {
    return row * kRowBytes + (chunk ^ (row % 8)) * 16;
  }

  /// Names a matrix for the products. `part_bytes`: from one part to the next, which matters only
  /// when columns are not summed over.
  __device__ static std::uint64_t describe(unsigned address, unsigned part_bytes) {
    constexpr std::uint64_t kSwizzleOf128Bytes = 1;
    return std::uint64_t{(address & 0x3ffffU) >> 4} | std::uint64_t{part_bytes >> 4} << 16 |
           std::uint64_t{kEightRows >> 4} << 32 | kSwizzleOf128Bytes << 62;
  }
};

/// Moves a description by some bytes.
__device__ inline std::uint64_t moved(std::uint64_t description, unsigned bytes) {
  return description + (bytes >> 4);
}

__device__ inline unsigned shared_address(const void* data) {
  return static_cast<unsigned>(__cvta_generic_to_shared(data));
}

/// Keeps the compiler from moving what computes or reads `registers` across this place.
template <int Count>
__device__ inline void pin(float (&registers)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    asm volatile("" : "+f"(registers[i])::"memory");
  }
}
template <int Rows, int Count>
__device__ inline void pin(unsigned (&registers)[Rows][Count]) {
#pragma unroll
  for (int i = 0; i < Rows * Count; ++i) {
    asm volatile("" : "+r"(registers[i / Count][i % Count])::"memory");
  }
}

/// Orders what was done to `registers`, all that the next products read or add to.
template <typename... Registers>
__device__ inline void begin_products(Registers&... registers) {
  (pin(registers), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most `Pending` committed groups are under way; `sums` belong to one that is not.
template <int Pending, int Count>
__device__ inline void wait_products(float (&sums)[Count]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
  pin(sums);
}

/// Gives the warpgroup's threads more registers, or fewer.
template <int Count>
__device__ inline void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ inline void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

#define KVG_SUMS_4(x, i) "+f"(x[i]), "+f"(x[i + 1]), "+f"(x[i + 2]), "+f"(x[i + 3])
#define KVG_SUMS_8(x, i) KVG_SUMS_4(x, i), KVG_SUMS_4(x, i + 4)
#define KVG_SUMS_32(x) KVG_SUMS_8(x, 0), KVG_SUMS_8(x, 8), KVG_SUMS_8(x, 16), KVG_SUMS_8(x, 24)
#define KVG_TEXT_32                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16" \
  ", %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define KVG_TEXT_40 KVG_TEXT_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define KVG_TEXT_48 KVG_TEXT_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define KVG_TEXT_64                                                        \
  KVG_TEXT_48                                                              \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61" \
  ", %62, %63"

/// sums [64, 128] = a [64, 16] b^T, b [128, 16], both in shared memory, plus `sums` where `adds`.
template <typename T>
__device__ inline void multiply_shared(float (&sums)[64],
                                       std::uint64_t a,
                                       std::uint64_t b,
                                       bool adds) {
#define KVG_MULTIPLY(type)                                                          \
  asm volatile(                                                                     \
      "{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\n"                            \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" KVG_TEXT_64 \
      "}, %64, %65, adds, 1, 1, 0, 0;\n}"                                           \
      : KVG_SUMS_32(sums),                                                          \
        KVG_SUMS_8(sums, 32),                                                       \
        KVG_SUMS_8(sums, 40),                                                       \
        KVG_SUMS_8(sums, 48),                                                       \
        KVG_SUMS_8(sums, 56)                                                        \
      : "l"(a), "l"(b), "r"(static_cast<int>(adds)))
  if constexpr (std::is_same_v<T, __half>) {
    KVG_MULTIPLY("f16");
  } else {
    KVG_MULTIPLY("bf16");
  }
#undef KVG_MULTIPLY
}

// sums [64, n] += a [64, 16] b, b [16, n] in shared memory with n its contiguous dimension.
#define KVG_MULTIPLY_ROWS(n, text, tail, type, ...)                                      \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" text \
               "}, {" tail ", 1, 1, 1, 1;"                                               \
               : __VA_ARGS__                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define KVG_DEFINE_MULTIPLY_ROWS(n, text, tail, ...)                 \
  template <typename T>                                              \
  __device__ inline void multiply_rows(                              \
      float(&sums)[n / 2], const unsigned(&a)[4], std::uint64_t b) { \
    if constexpr (std::is_same_v<T, __half>) {                       \
      KVG_MULTIPLY_ROWS(n, text, tail, "f16", __VA_ARGS__);          \
    } else {                                                         \
      KVG_MULTIPLY_ROWS(n, text, tail, "bf16", __VA_ARGS__);         \
    }                                                                \
  }
KVG_DEFINE_MULTIPLY_ROWS(64, KVG_TEXT_32, "%32, %33, %34, %35}, %36", KVG_SUMS_32(sums))
KVG_DEFINE_MULTIPLY_ROWS(
    80, KVG_TEXT_40, "%40, %41, %42, %43}, %44", KVG_SUMS_32(sums), KVG_SUMS_8(sums, 32))
KVG_DEFINE_MULTIPLY_ROWS(96,
                         KVG_TEXT_48,
                         "%48, %49, %50, %51}, %52",
                         KVG_SUMS_32(sums),
                         KVG_SUMS_8(sums, 32),
                         KVG_SUMS_8(sums, 40))
KVG_DEFINE_MULTIPLY_ROWS(128,
                         KVG_TEXT_64,
                         "%64, %65, %66, %67}, %68",
                         KVG_SUMS_32(sums),
                         KVG_SUMS_8(sums, 32),
                         KVG_SUMS_8(sums, 40),
                         KVG_SUMS_8(sums, 48),
                         KVG_SUMS_8(sums, 56))
#undef KVG_DEFINE_MULTIPLY_ROWS
#undef KVG_MULTIPLY_ROWS
#undef KVG_TEXT_64
#undef KVG_TEXT_48
#undef KVG_TEXT_40
#undef KVG_TEXT_32
#undef KVG_SUMS_32
#undef KVG_SUMS_8
#undef KVG_SUMS_4

}  // namespace kvg::kernels
