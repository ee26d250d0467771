#pragma once

#include "kernels/cpu/product.h"
#include "kernels/scoring.h"

namespace kvg::kernels::cpu {

class CpuScoring final : public Scoring {
 public:
  /// `scratch` and `team` outlive it.
  CpuScoring(Scratch& scratch, Team& team) : scratch_(scratch), team_(team) {}

  void clear(void* data, std::size_t bytes) override;

  // scoring_copies.cpp
  void keep_logits(const KeepLogitsArgs& args) override;

  // scoring_observe.cpp
  void keep_queries(const KeepQueriesArgs& args) override;
  void column_sums(const ColumnSumsArgs& args) override;
  void moments(const MomentsArgs& args) override;
  void window_rows(const WindowRowsArgs& args) override;

  // scoring.cpp
  void pool(const PoolArgs& args) override;
  void key_norms(const PromptScores& args) override;
  void random(const PromptScores& args, std::uint64_t seed, int layer) override;
  void recency(const PromptScores& args) override;
  void by_age(const PromptScores& args) override;
  void chunk_means(const PromptScores& args, int chunk, int columns) override;
  void protect(const PromptScores& args, int first, int last) override;

  // scoring_keys.cpp
  void key_likeness(const PromptScores& args) override;
  void expected(const ExpectedArgs& args) override;
  void lag(const LagArgs& args) override;
  void output_norms(const OutputNormArgs& args) override;

  // scoring_choose.cpp
  void raise(const RaiseArgs& args) override;
  void choose(const ChooseArgs& args) override;
  void choose_channels(const ChannelArgs& args) override;

  // scoring_step.cpp
  void evict(const EvictArgs& args) override;
  void page_bounds(const PageBoundsArgs& args) override;
  void choose_pages(const ChoosePagesArgs& args) override;

  // scoring_redundancy.cpp
  void redundancy(const RedundancyArgs& args) override;

 private:
  Scratch& scratch_;
  Team& team_;
};

}  // namespace kvg::kernels::cpu
