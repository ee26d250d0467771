#pragma once

#include <cstddef>
#include <cstdint>

namespace kvg::kernels::cpu {

/// Entries of one split of a decode step. Boundaries depend on the number of entries alone.
inline constexpr std::int32_t kSplitEntries = 256;

[[nodiscard]] constexpr std::int32_t splits_of(std::int32_t entries) {
  return (entries + kSplitEntries - 1) / kSplitEntries;
}

/// The queries of one kv_head over slots [begin, end) of its keys and values.
struct SplitArgs {
  float* out = nullptr;               ///< [group, head_dim], not yet divided by the sum
  float* max = nullptr;               ///< [group], largest scaled score
  float* sum = nullptr;               ///< [group], sum of e^(scaled score - max)
  const float* query = nullptr;       ///< [group, head_dim]
  const float* sink_query = nullptr;  ///< scores slots below `sinks`
  std::int32_t sinks = 0;
  const float* keys = nullptr;    ///< [slots, head_dim]
  const float* values = nullptr;  ///< [slots, head_dim]
  std::int32_t begin = 0;
  std::int32_t end = 0;
  std::size_t group = 0;
  std::size_t head_dim = 0;
  float scale = 1.0F;
  float* scores = nullptr;  ///< scratch [group, kSplitEntries]
};

void attend_split(const SplitArgs& args);

/// Merges the splits of one head into out[head_dim] and divides by the sum.
struct MergeArgs {
  float* out = nullptr;           ///< [head_dim]
  const float* parts = nullptr;   ///< [splits, part_stride]: one head's part of each split
  const float* maxima = nullptr;  ///< [splits, stat_stride]
  const float* sums = nullptr;    ///< [splits, stat_stride]
  std::size_t part_stride = 0;
  std::size_t stat_stride = 0;
  std::size_t splits = 0;
  std::size_t head_dim = 0;
};

void merge_splits(const MergeArgs& args);

}  // namespace kvg::kernels::cpu
