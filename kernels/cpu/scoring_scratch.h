#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/stored_rows.h"

namespace kvg::kernels::cpu {

/// Rows of scores that a thread works on at once, more only where a group has more heads.
inline constexpr int kScoreRows = 64;
/// Shares of a prompt's queries whose column sums are added up apart, so that threads can work on
/// one head together and the sums do not depend on how many there are.
inline constexpr int kQueryShares = 16;

/// Cuts memory into pieces, each on a cache line.
class Pieces {
 public:
  /// Floats that `count` elements of T take.
  template <typename T>
  [[nodiscard]] static constexpr std::size_t floats_of(std::size_t count) {
    constexpr std::size_t kLineBytes = 64;
    return (count * sizeof(T) + kLineBytes - 1) / kLineBytes * kLineBytes / sizeof(float);
  }

  explicit Pieces(float* memory) : next_(memory) {}

  template <typename T>
  [[nodiscard]] T* take(std::size_t count) {
    float* const piece = next_;
    next_ += floats_of<T>(count);
    return static_cast<T*>(static_cast<void*>(piece));
  }

 private:
  float* next_;
};

/// What the operations take of a thread's tile.
[[nodiscard]] constexpr std::size_t rows_tile_floats(int group, std::size_t keys) {
  const auto rows = static_cast<std::size_t>(std::max(group, kScoreRows));
  return Pieces::floats_of<float>(rows * keys) + 2 * Pieces::floats_of<double>(keys);
}
[[nodiscard]] constexpr std::size_t entry_tile_floats(std::size_t head_dim) {
  return 2 * Pieces::floats_of<double>(static_cast<std::size_t>(kScoreRows) * head_dim);
}
[[nodiscard]] constexpr std::size_t output_tile_floats(std::size_t head_dim) {
  const auto features = static_cast<std::size_t>(kTileFeatures);
  return Pieces::floats_of<float>(features * head_dim) +
         Pieces::floats_of<float>(features * static_cast<std::size_t>(kScoreRows));
}
[[nodiscard]] constexpr std::size_t lag_tile_floats(std::size_t head_dim, std::size_t lag) {
  return 2 * Pieces::floats_of<float>(head_dim) + 2 * Pieces::floats_of<double>(lag);
}
[[nodiscard]] constexpr std::size_t step_tile_floats(std::size_t entries) {
  return 2 * Pieces::floats_of<double>(entries);
}
[[nodiscard]] constexpr std::size_t redundancy_tile_floats(std::size_t head_dim,
                                                           std::size_t slots) {
  return Pieces::floats_of<float>(slots * head_dim) +
         Pieces::floats_of<float>(slots * static_cast<std::size_t>(kScoreRows)) +
         Pieces::floats_of<float>(row_scratch_floats(head_dim)) +
         3 * Pieces::floats_of<double>(slots) + 2 * Pieces::floats_of<std::int32_t>(slots);
}

/// And of the memory that the threads share.
[[nodiscard]] constexpr std::size_t column_shared_floats(std::size_t keys) {
  return static_cast<std::size_t>(kQueryShares) * Pieces::floats_of<double>(keys);
}
[[nodiscard]] constexpr std::size_t expected_shared_floats(std::size_t head_dim, std::size_t keys) {
  return Pieces::floats_of<double>(head_dim * head_dim) + 2 * Pieces::floats_of<double>(head_dim) +
         Pieces::floats_of<double>(keys);
}

/// The most of either that operations of this shape take.
[[nodiscard]] std::size_t scoring_tile_floats(const WorkspaceShape& shape);
[[nodiscard]] std::size_t scoring_shared_floats(const WorkspaceShape& shape);

/// The tiles of all threads, each of at least `floats`.
class Tiles {
 public:
  Tiles(const Scratch& scratch, std::size_t floats)
      : first_(scratch.tiles(floats)), stride_(scratch.thread_stride()) {}

  [[nodiscard]] Pieces of(int thread) const {
    return Pieces(first_ + static_cast<std::size_t>(thread) * stride_);
  }

 private:
  float* first_;
  std::size_t stride_;
};

}  // namespace kvg::kernels::cpu
