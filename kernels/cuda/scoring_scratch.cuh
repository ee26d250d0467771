#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/core/error.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/kv_view.h"

// What the operations of CudaScoring keep in scratch memory. Each lays its arrays out in one
// function, which with no memory behind it tells how much it takes.
namespace kvg::kernels {

/// Hands out stretches of memory, each at a multiple of 256 bytes.
class Stretches {
 public:
  /// Counts alone: take() yields null.
  Stretches() = default;
  Stretches(void* data, std::size_t bytes) : data_(static_cast<std::byte*>(data)), bytes_(bytes) {}

  template <typename T>
  [[nodiscard]] T* take(std::size_t count) {
    constexpr std::size_t kAlignment = 256;
    const std::size_t begin = used_;
    used_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    KVG_EXPECT(used_ <= bytes_, "make_workspace() covers the shapes of every operation");
    return data_ == nullptr ? nullptr : reinterpret_cast<T*>(data_ + begin);
  }
  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = std::numeric_limits<std::size_t>::max();
  std::size_t used_ = 0;
};

/// The sizes that scratch memory depends on.
struct ScoredShape {
  HeadShape heads;
  int batch = 0;
  std::int64_t count = 0;  ///< queries, keys, slots or pages

  [[nodiscard]] std::size_t rows() const {
    return static_cast<std::size_t>(batch) * static_cast<std::size_t>(heads.heads);
  }
  [[nodiscard]] std::size_t kv_rows() const {
    return static_cast<std::size_t>(batch) * static_cast<std::size_t>(heads.kv_heads);
  }
  [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(count); }
  [[nodiscard]] std::size_t dim() const { return static_cast<std::size_t>(heads.head_dim); }
};

inline constexpr int kScoreTile = 64;  ///< queries, or keys, that a block holds on to

/// Softmaxes of `count` queries of a head.
struct RowScratch {
  float2* rows = nullptr;      ///< [batch, heads, count]: largest score, 1 / sum of exponentials
  float2* partials = nullptr;  ///< [splits, batch, heads, count]: largest score, sum
  int splits = 1;              ///< of the keys, so that few queries fill the device
};
[[nodiscard]] RowScratch row_scratch(Stretches& memory,
                                     const Target& target,
                                     const ScoredShape& shape);

/// ExpectedAttention.
struct ExpectedScratch {
  double* mean = nullptr;        ///< [batch, heads, head_dim], turned
  double* covariance = nullptr;  ///< [batch, heads, head_dim, head_dim], turned
  double* logits = nullptr;      ///< [batch, heads, keys]
  double2* softmax = nullptr;    ///< [batch, heads]: largest, sum
};
[[nodiscard]] ExpectedScratch expected_scratch(Stretches& memory, const ScoredShape& shape);

/// A figure per channel of a kv_head, summed over keys.
struct ChannelScratch {
  double* partials = nullptr;  ///< [batch, kv_heads, parts, head_dim]
  double* sums = nullptr;      ///< [batch, kv_heads, head_dim]
  int parts = 0;               ///< stretches of kChannelKeys keys
};
inline constexpr int kChannelKeys = 256;
[[nodiscard]] ChannelScratch channel_scratch(Stretches& memory, const ScoredShape& shape);

/// R-KV, of slots.
struct RedundancyScratch {
  float* units = nullptr;      ///< [batch, kv_heads, head_dim, slots]: keys of length 1
  double* likeness = nullptr;  ///< [batch, kv_heads, slots]: sum of the row, then the column's mean
  double* importance = nullptr;  ///< [batch, kv_heads, slots], by age
  std::int32_t* age = nullptr;   ///< [batch, kv_heads, slots]: entries of lower positions
  /// [batch, kv_heads, slots]: likeness taken out of each column, in units of 2^-40. Integers, so
  /// that the order of additions does not show.
  unsigned long long* removed = nullptr;
};
[[nodiscard]] RedundancyScratch redundancy_scratch(Stretches& memory, const ScoredShape& shape);

/// Quest: [batch, kv_heads, pages].
[[nodiscard]] double* page_scratch(Stretches& memory, const ScoredShape& shape);

}  // namespace kvg::kernels
