#pragma once

#include <cstddef>
#include <cstdint>

namespace kvg::kernels::cpu {

/// Entries of one split of a decode step. Boundaries depend on the number of entries alone.
inline constexpr std::int32_t kSplitEntries = 256;

[[nodiscard]] constexpr std::int32_t splits_of(std::int32_t entries) {
  return (entries + kSplitEntries - 1) / kSplitEntries;
}

/// The queries of one kv_head over `count` of its entries, which lie one after the other.
struct SplitArgs {
  float* out = nullptr;               ///< [group, head_dim], not yet divided by the sum
  float* max = nullptr;               ///< [group], largest scaled score
  float* sum = nullptr;               ///< [group], sum of e^(scaled score - max)
  const float* query = nullptr;       ///< [group, head_dim]
  const float* sink_query = nullptr;  ///< scores the first `sinks`; null: `query` scores all
  std::size_t sinks = 0;
  const float* keys = nullptr;    ///< [count, head_dim]
  const float* values = nullptr;  ///< [count, head_dim]
  std::size_t count = 0;          ///< at most kSplitEntries
  std::size_t group = 0;
  std::size_t head_dim = 0;
  float scale = 1.0F;
  float* scores = nullptr;  ///< scratch [group, kSplitEntries]
};

/// scores = query . key; reads keys and queries.
void score_split(const SplitArgs& args);
/// out, max and sum of the scores; reads values and overwrites the scores.
void weigh_split(const SplitArgs& args);

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
