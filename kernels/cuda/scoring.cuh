#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/scoring.h"

namespace kvg::kernels {

class CudaScoring final : public Scoring {
 public:
  CudaScoring(const Target& target, DType compute) : target_(target), compute_(compute) {}

  void clear(void* data, std::size_t bytes) override;
  void copy(const PromptScores& to, const double* from) override;
  void keep_logits(const KeepLogitsArgs& args) override;
  void keep_queries(const KeepQueriesArgs& args) override;
  void column_sums(const ColumnSumsArgs& args) override;
  void moments(const MomentsArgs& args) override;
  void window_rows(const WindowRowsArgs& args) override;
  void pool(const PoolArgs& args) override;
  void key_norms(const PromptScores& args) override;
  void key_likeness(const PromptScores& args) override;
  void expected(const ExpectedArgs& args) override;
  void lag(const LagArgs& args) override;
  void random(const PromptScores& args, std::uint64_t seed, int layer) override;
  void recency(const PromptScores& args) override;
  void by_age(const PromptScores& args) override;
  void chunk_means(const PromptScores& args, int chunk, int columns) override;
  void output_norms(const OutputNormArgs& args) override;
  void protect(const PromptScores& args, int first, int last) override;
  void raise(const RaiseArgs& args) override;
  void choose(const ChooseArgs& args) override;
  void choose_channels(const ChannelArgs& args) override;
  void evict(const EvictArgs& args) override;
  void redundancy(const RedundancyArgs& args) override;
  void page_bounds(const PageBoundsArgs& args) override;
  void choose_pages(const ChoosePagesArgs& args) override;

 private:
  Target target_;
  DType compute_;
};

}  // namespace kvg::kernels
