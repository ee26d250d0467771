#pragma once

#include <cstddef>

#include "kernels/backend.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/scoring.h"

namespace kvg::kernels {

/// Bytes of scratch memory that CudaScoring needs for operations of this shape.
[[nodiscard]] std::size_t scoring_scratch_bytes(const Target& target, const WorkspaceShape& shape);

class CudaScoring final : public Scoring {
 public:
  CudaScoring(const Target& target, DType compute) : target_(target), compute_(compute) {}

  /// Scratch memory for all operations from here on, as scoring_scratch_bytes() told for `shape`.
  /// It belongs to a workspace.
  void set_scratch(void* data, const WorkspaceShape& shape) {
    scratch_ = data;
    scratch_bytes_ = data == nullptr ? 0 : scoring_scratch_bytes(target_, shape);
    scored_slots_ = shape.scored_slots;
  }

  // scoring_copies.cu
  void clear(void* data, std::size_t bytes) override;
  void keep_logits(const KeepLogitsArgs& args) override;
  void keep_queries(const KeepQueriesArgs& args) override;

  // scoring_rows.cpp
  void column_sums(const ColumnSumsArgs& args) override;
  void window_rows(const WindowRowsArgs& args) override;
  void output_norms(const OutputNormArgs& args) override;

  // scoring_moments.cu
  void moments(const MomentsArgs& args) override;

  // scoring_expected.cu
  void expected(const ExpectedArgs& args) override;

  // scoring_scores.cu
  void pool(const PoolArgs& args) override;
  void random(const PromptScores& args, std::uint64_t seed, int layer) override;
  void recency(const PromptScores& args) override;
  void by_age(const PromptScores& args) override;
  void chunk_means(const PromptScores& args, int chunk, int columns) override;
  void protect(const PromptScores& args, int first, int last) override;

  // scoring_keys.cu
  void key_norms(const PromptScores& args) override;
  void key_likeness(const PromptScores& args) override;
  void choose_channels(const ChannelArgs& args) override;

  // scoring_lag.cu
  void lag(const LagArgs& args) override;

  // scoring_choose.cu
  void raise(const RaiseArgs& args) override;
  void choose(const ChooseArgs& args) override;

  // scoring_evict.cu
  void evict(const EvictArgs& args) override;

  // scoring_redundancy.cu
  void redundancy(const RedundancyArgs& args) override;

  // scoring_pages.cu
  void page_bounds(const PageBoundsArgs& args) override;
  void choose_pages(const ChoosePagesArgs& args) override;

 private:
  void check(const KvView& view) const;

  Target target_;
  DType compute_;
  void* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
  std::int64_t scored_slots_ = 0;
};

}  // namespace kvg::kernels
