#include "kernels/cpu/scoring.h"

#include "kernels/core/error.h"

namespace kvg::kernels::cpu {

void CpuScoring::clear(void* /*data*/, std::size_t /*bytes*/) {
  throw InvalidArgument("clear has no kernel here");
}

void CpuScoring::keep_queries(const KeepQueriesArgs& /*args*/) {
  throw InvalidArgument("keep_queries has no kernel here");
}

void CpuScoring::column_sums(const ColumnSumsArgs& /*args*/) {
  throw InvalidArgument("column_sums has no kernel here");
}

void CpuScoring::moments(const MomentsArgs& /*args*/) {
  throw InvalidArgument("moments has no kernel here");
}

void CpuScoring::window_rows(const WindowRowsArgs& /*args*/) {
  throw InvalidArgument("window_rows has no kernel here");
}

void CpuScoring::pool(const PoolArgs& /*args*/) {
  throw InvalidArgument("pool has no kernel here");
}

void CpuScoring::key_norms(const PromptScores& /*args*/) {
  throw InvalidArgument("key_norms has no kernel here");
}

void CpuScoring::key_likeness(const PromptScores& /*args*/) {
  throw InvalidArgument("key_likeness has no kernel here");
}

void CpuScoring::expected(const ExpectedArgs& /*args*/) {
  throw InvalidArgument("expected has no kernel here");
}

void CpuScoring::lag(const LagArgs& /*args*/) {
  throw InvalidArgument("lag has no kernel here");
}

void CpuScoring::random(const PromptScores& /*args*/, std::uint64_t /*seed*/, int /*layer*/) {
  throw InvalidArgument("random has no kernel here");
}

void CpuScoring::recency(const PromptScores& /*args*/) {
  throw InvalidArgument("recency has no kernel here");
}

void CpuScoring::by_age(const PromptScores& /*args*/) {
  throw InvalidArgument("by_age has no kernel here");
}

void CpuScoring::chunk_means(const PromptScores& /*args*/, int /*chunk*/, int /*columns*/) {
  throw InvalidArgument("chunk_means has no kernel here");
}

void CpuScoring::output_norms(const OutputNormArgs& /*args*/) {
  throw InvalidArgument("output_norms has no kernel here");
}

void CpuScoring::protect(const PromptScores& /*args*/, int /*first*/, int /*last*/) {
  throw InvalidArgument("protect has no kernel here");
}

void CpuScoring::raise(const RaiseArgs& /*args*/) {
  throw InvalidArgument("raise has no kernel here");
}

void CpuScoring::choose(const ChooseArgs& /*args*/) {
  throw InvalidArgument("choose has no kernel here");
}

void CpuScoring::choose_channels(const ChannelArgs& /*args*/) {
  throw InvalidArgument("choose_channels has no kernel here");
}

void CpuScoring::evict(const EvictArgs& /*args*/) {
  throw InvalidArgument("evict has no kernel here");
}

void CpuScoring::redundancy(const RedundancyArgs& /*args*/) {
  throw InvalidArgument("redundancy has no kernel here");
}

void CpuScoring::page_bounds(const PageBoundsArgs& /*args*/) {
  throw InvalidArgument("page_bounds has no kernel here");
}

void CpuScoring::choose_pages(const ChoosePagesArgs& /*args*/) {
  throw InvalidArgument("choose_pages has no kernel here");
}

}  // namespace kvg::kernels::cpu
