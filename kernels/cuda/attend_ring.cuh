#pragma once

#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/reduce.cuh"

// Rows of a cache on their way to shared memory, by the bulk copies of sm_90: a warp asks for 16
// slots at once and several times ahead, which costs neither registers nor, but for one lane, time.

namespace kvg::kernels {

inline constexpr int kTileSlots = 16;

__device__ inline unsigned shared_address(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

/// The rows of one side in a stage: codes, then scales. `Scaled`: there may be scales.
template <int RowBytes, int Dim, bool Scaled>
class StagedRows {
 public:
  static constexpr int kCodeBytes = kTileSlots * RowBytes;
  /// Groups have 16 channels or more and 4 bytes or less, and a copy starts and ends at multiples
  /// of 16 bytes.
  static constexpr int kScaleBytes = Scaled ? kTileSlots * Dim / 16 * 4 + 32 : 0;
  static constexpr int kBytes = (kCodeBytes + kScaleBytes + 127) / 128 * 128;

  /// `first_row`: of the head; tiles start a multiple of 16 rows further.
  __device__ StagedRows(const AttendSide& side, std::int64_t first_row)
      : side_(side),
        codes_(side.codes + first_row * RowBytes),
        scales_(side.scales + first_row * side.scale_row_bytes),
        apart_(static_cast<unsigned>(first_row * side.scale_row_bytes) % 16U),
        shift_mask_(side.scale_bytes == 4   ? 0xFFFFFFFFU
                    : side.scale_bytes == 2 ? 0xFFFFU
                                            : 0xFFU) {}

  /// Bytes that copy() moves for `count` rows.
  [[nodiscard]] __device__ unsigned bytes(int count) const {
    return static_cast<unsigned>(count * RowBytes) + scale_bytes(count);
  }
  /// By one lane: `count` rows from slot `slot` on, to a stage whose barrier expects them.
  __device__ void copy(std::uint8_t* to, int slot, int count, unsigned barrier) const {
    bulk_copy(to,
              codes_ + static_cast<std::int64_t>(slot) * RowBytes,
              static_cast<unsigned>(count * RowBytes),
              barrier);
    if (Scaled && side_.scale_row_bytes > 0) {
      bulk_copy(to + kCodeBytes,
                scales_ + static_cast<std::int64_t>(slot) * side_.scale_row_bytes - apart_,
                scale_bytes(count),
                barrier);
    }
  }
  /// By a warp: makes the codes of rows from `count` on zeros.
  __device__ static void pad(std::uint8_t* stage, int count) {
    auto* words = reinterpret_cast<uint4*>(stage);
    for (int i = count * RowBytes / 16 + static_cast<int>(threadIdx.x) % kWarp; i < kCodeBytes / 16;
         i += kWarp) {
      words[i] = uint4{};
    }
  }

  [[nodiscard]] __device__ static const std::uint8_t* codes(const std::uint8_t* stage, int slot) {
    return stage + slot * RowBytes;
  }
  /// The scale of a slot and channel as it is stored.
  [[nodiscard]] __device__ std::uint32_t scale(const std::uint8_t* stage,
                                               int slot,
                                               int channel) const {
    if (side_.scale_row_bytes == 0) {
      return 0x3C00U;  // 1 in f16
    }
    const unsigned at =
        apart_ + static_cast<unsigned>(slot * side_.scale_row_bytes +
                                       (channel >> side_.group_shift) * side_.scale_bytes);
    const std::uint32_t word =
        *reinterpret_cast<const std::uint32_t*>(stage + kCodeBytes + at / 4U * 4U);
    return (word >> (at % 4U * 8U)) & shift_mask_;
  }

 private:
  [[nodiscard]] __device__ unsigned scale_bytes(int count) const {
    const int row = Scaled ? side_.scale_row_bytes : 0;
    return row == 0 ? 0 : (apart_ + static_cast<unsigned>(count * row) + 15U) / 16U * 16U;
  }
  __device__ static void bulk_copy(std::uint8_t* to,
                                   const std::uint8_t* from,
                                   unsigned bytes,
                                   unsigned barrier) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(shared_address(to)),
        "l"(from),
        "r"(bytes),
        "r"(barrier)
        : "memory");
#endif
  }

  const AttendSide& side_;
  const std::uint8_t* codes_;
  const std::uint8_t* scales_;
  unsigned apart_;       ///< bytes from a multiple of 16 to a tile's first scale
  unsigned shift_mask_;  ///< of a scale
};

/// One warp's ring of tiles and the barriers that say when one is there.
template <int StageBytes, int Stages>
class TileStages {
 public:
  static constexpr int kStages = Stages;
  static constexpr int kBytes = StageBytes * Stages;

  /// `room`: kBytes of this warp. `full`: its barriers; ready once the warp has met.
  __device__ TileStages(std::uint8_t* room, std::uint64_t* full)
      : room_(room), full_(shared_address(full)) {
    if (threadIdx.x % kWarp == 0) {
#pragma unroll
      for (int stage = 0; stage < Stages; ++stage) {
        asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(full_ + 8U * stage) : "memory");
      }
#if __CUDA_ARCH__ >= 900
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
    }
  }

  [[nodiscard]] __device__ std::uint8_t* filling() const {
    return room_ + filling_ * StageBytes;
  }
  /// By one lane: the filling stage waits for `bytes`; returns its barrier.
  __device__ unsigned expect(unsigned bytes) const {
    const unsigned barrier = full_ + 8U * static_cast<unsigned>(filling_);
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
#endif
    return barrier;
  }
  __device__ void filled() {
    filling_ = filling_ + 1 < Stages ? filling_ + 1 : 0;
  }

  [[nodiscard]] __device__ const std::uint8_t* reading() const {
    return room_ + reading_ * StageBytes;
  }
  /// Until the oldest stage is there.
  __device__ void wait() const {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "wait_loop:\n"
        "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@done bra wait_done;\n"
        "bra wait_loop;\n"
        "wait_done:\n"
        "}\n" ::"r"(full_ + 8U * static_cast<unsigned>(reading_)),
        "r"(parity_)
        : "memory");
#endif
  }
  /// The whole warp is done with the oldest stage, which is filled next.
  __device__ void release() {
    __syncwarp();
    reading_ = reading_ + 1 < Stages ? reading_ + 1 : 0;
    parity_ ^= reading_ == 0 ? 1U : 0U;
  }

 private:
  std::uint8_t* room_;
  unsigned full_;
  int filling_ = 0;
  int reading_ = 0;
  unsigned parity_ = 0;
};

}  // namespace kvg::kernels
