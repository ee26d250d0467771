#pragma once

#include "kernels/cuda/attend_group.cuh"
#include "kernels/cuda/tensor_copy.cuh"

// Rows of a cache on their way to shared memory, by the bulk copies of sm_90: a warp asks for 16
// slots at once and several times ahead, which costs neither registers nor, but for a few
// instructions, time.

namespace kvg::kernels {

/// The rows of one side in a stage: codes, then scales. `Scaled`: there may be scales.
template <int RowBytes, int Dim, bool Scaled>
struct StagedRows {
  static constexpr int kCodeBytes = kTileSlots * RowBytes;
  /// Groups have 16 channels or more and 4 bytes or less, and a copy starts and ends at multiples
  /// of 16 bytes.
  static constexpr int kScaleBytes = Scaled ? kTileSlots * Dim / 16 * 4 + 32 : 0;
  static constexpr int kBytes = (kCodeBytes + kScaleBytes + 127) / 128 * 128;

  /// By a warp: makes the codes of rows from `count` on zeros.
  __device__ static void pad(std::uint8_t* stage, int count) {
    auto* words = reinterpret_cast<uint4*>(stage);
#pragma unroll 1
    for (int i = count * RowBytes / 16 + static_cast<int>(threadIdx.x) % kWarp; i < kCodeBytes / 16;
         i += kWarp) {
      words[i] = uint4{};
    }
  }

  /// The scale of a slot and channel as it is stored; `apart`: as RowCopy has it.
  [[nodiscard]] __device__ static std::uint32_t scale(const AttendSide& side,
                                                      const std::uint8_t* stage,
                                                      unsigned apart,
                                                      int2 slot_channel) {
    if (side.scale_row_bytes == 0) {
      return 0x3C00U;  // 1 in f16
    }
    const unsigned at =
        apart + static_cast<unsigned>(slot_channel.x * side.scale_row_bytes +
                                      (slot_channel.y >> side.group_shift) * side.scale_bytes);
    const std::uint32_t word =
        *reinterpret_cast<const std::uint32_t*>(stage + kCodeBytes + at / 4U * 4U);
    const std::uint32_t mask = 0xFFFFFFFFU >> (32 - 8 * side.scale_bytes);
    return (word >> (at % 4U * 8U)) & mask;
  }
};

/// What one lane copies of every tile: codes or scales of one side.
struct RowCopy {
  const std::uint8_t* from = nullptr;  ///< of the head's first row, less `apart`
  int row_bytes = 0;                   ///< 0: nothing
  unsigned apart = 0;  ///< bytes from a multiple of 16 to a tile's first row: tiles start 16 rows
                       ///< apart
  int to = 0;          ///< in a stage

  RowCopy() = default;
  __device__ RowCopy(const std::uint8_t* rows, std::int64_t first_row, int bytes, int place)
      : row_bytes(bytes), apart(static_cast<unsigned>(first_row * bytes) % 16U), to(place) {
    from = rows + first_row * bytes - apart;
  }

  /// For `count` rows.
  [[nodiscard]] __device__ unsigned bytes(int count) const {
    const unsigned end = apart + static_cast<unsigned>(count * row_bytes);
    return row_bytes == 0 ? 0 : (end + 15U) / 16U * 16U;
  }
};

/// One warp's ring of tiles and the barriers that say when one is there.
template <int StageBytes, int Stages>
class TileStages {
 public:
  static constexpr int kStages = Stages;
  static constexpr int kBytes = StageBytes * Stages;

  /// `room`: kBytes of this warp. `full`: its barriers; ready once the warp has met.
  __device__ TileStages(std::uint8_t* room, std::uint64_t* full) : room_(room), full_(full) {
#if __CUDA_ARCH__ >= 900
    policy_ = read_once_policy();
    if (threadIdx.x % kWarp == 0) {
#pragma unroll 1
      for (int stage = 0; stage < Stages; ++stage) {
        make_barrier(full_[stage], 1);
      }
      publish_barriers();
    }
#endif
  }

  [[nodiscard]] __device__ std::uint8_t* filling() const {
    return room_ + filling_ * StageBytes;
  }
  /// Asks for `count` rows from slot `slot` on; lanes of which `takes` is true have a copy.
  __device__ void fill(const RowCopy& copy, bool takes, int slot, int count) {
#if __CUDA_ARCH__ >= 900
    const unsigned own = takes ? copy.bytes(count) : 0;
    const unsigned all = __reduce_add_sync(kAllLanes, own);
    // A barrier counts bytes that come before they are announced as well.
    if (threadIdx.x % kWarp == 0) {
      arrive_expecting(full_[filling_], all);
    }
    if (own > 0) {
      load_bytes(filling() + copy.to,
                 copy.from + static_cast<std::int64_t>(slot) * copy.row_bytes,
                 own,
                 full_[filling_],
                 policy_);
    }
#endif
    filling_ = filling_ + 1 < Stages ? filling_ + 1 : 0;
  }

  [[nodiscard]] __device__ const std::uint8_t* reading() const {
    return room_ + reading_ * StageBytes;
  }
  /// Until the oldest stage is there.
  __device__ void wait() const {
#if __CUDA_ARCH__ >= 900
    wait_phase(full_[reading_], parity_);
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
  std::uint64_t* full_;
  std::uint64_t policy_ = 0;
  int filling_ = 0;
  int reading_ = 0;
  unsigned parity_ = 0;
};

}  // namespace kvg::kernels
