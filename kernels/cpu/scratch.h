#pragma once

#include <cstddef>

#include "kernels/backend.h"
#include "kernels/core/memory.h"

namespace kvg::kernels::cpu {

/// Rows of a product beyond which it goes through sgemm.
inline constexpr int kFewRows = 8;
/// Rows and features of one sgemm tile.
inline constexpr int kTileRows = 256;
inline constexpr int kTileFeatures = 128;
/// Queries of one tile of prefill attention.
inline constexpr int kTileQueries = 64;

/// Where the scratch memory of the operations lies; in floats.
struct ScratchPlan {
  std::size_t normed = 0;      ///< [rows, hidden]: normalised rows
  std::size_t parts = 0;       ///< [batch, heads, splits, head_dim]: split attention
  std::size_t stats = 0;       ///< [2, batch, heads, splits]: its maxima and sums
  std::size_t figures = 0;     ///< what the threads of a Scoring operation share
  std::size_t per_thread = 0;  ///< a tile of whichever operation runs
  std::size_t threads = 0;

  [[nodiscard]] std::size_t total() const {
    return normed + parts + 2 * stats + figures + threads * per_thread;
  }
};

[[nodiscard]] ScratchPlan plan_scratch(const WorkspaceShape& shape, int threads);

/// A workspace as the operations see it; empty: there is none. Every getter throws InvalidArgument
/// when more is asked than was reserved.
class Scratch {
 public:
  Scratch() = default;
  Scratch(float* data, const ScratchPlan& plan) : plan_(plan), data_(data) {}

  [[nodiscard]] float* normed(std::size_t count) const;
  [[nodiscard]] float* parts(std::size_t count) const;
  [[nodiscard]] float* stats(std::size_t count) const;  ///< two arrays of `count`
  [[nodiscard]] float* figures(std::size_t count) const;
  /// The tile of thread 0; that of thread t lies t * thread_stride() further.
  [[nodiscard]] float* tiles(std::size_t count_per_thread) const;
  [[nodiscard]] std::size_t thread_stride() const { return plan_.per_thread; }

  [[nodiscard]] bool is(const Scratch& other) const { return data_ == other.data_; }

 private:
  ScratchPlan plan_;
  float* data_ = nullptr;
};

/// A workspace of the cpu.
class CpuWorkspace final : public Workspace {
 public:
  /// `in_use` is what operations work in: this workspace, until another is put there. It outlives
  /// the workspace, which leaves it empty rather than refer to what is gone.
  CpuWorkspace(Pool& pool, const ScratchPlan& plan, Scratch& in_use);
  CpuWorkspace(const CpuWorkspace&) = delete;
  CpuWorkspace& operator=(const CpuWorkspace&) = delete;
  ~CpuWorkspace() override;

  void use() { in_use_ = scratch_; }

 private:
  Buffer buffer_;
  Scratch scratch_;
  Scratch& in_use_;
};

/// Floats of a tile of a product with `in` inputs.
[[nodiscard]] std::size_t product_tile_floats(int rows, std::size_t in);
/// Floats of a tile of a step's attention, and of what append(), store() and settle() work in.
[[nodiscard]] std::size_t step_tile_floats(std::size_t group, std::size_t head_dim);
/// Floats of a tile of prefill attention.
[[nodiscard]] std::size_t prefill_tile_floats(int tokens, std::int64_t entries);

}  // namespace kvg::kernels::cpu
