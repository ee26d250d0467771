#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"

namespace kvg::kernels {

void CudaScoring::clear(void* /*data*/, std::size_t /*bytes*/) {
  throw InvalidArgument("clear has no kernel here");
}

void CudaScoring::keep_queries(const KeepQueriesArgs& /*args*/) {
  throw InvalidArgument("keep_queries has no kernel here");
}

void CudaScoring::column_sums(const ColumnSumsArgs& /*args*/) {
  throw InvalidArgument("column_sums has no kernel here");
}

void CudaScoring::moments(const MomentsArgs& /*args*/) {
  throw InvalidArgument("moments has no kernel here");
}

void CudaScoring::window_rows(const WindowRowsArgs& /*args*/) {
  throw InvalidArgument("window_rows has no kernel here");
}

void CudaScoring::pool(const PoolArgs& /*args*/) {
  throw InvalidArgument("pool has no kernel here");
}

void CudaScoring::key_norms(const PromptScores& /*args*/) {
  throw InvalidArgument("key_norms has no kernel here");
}

void CudaScoring::key_likeness(const PromptScores& /*args*/) {
  throw InvalidArgument("key_likeness has no kernel here");
}

void CudaScoring::expected(const ExpectedArgs& /*args*/) {
  throw InvalidArgument("expected has no kernel here");
}

void CudaScoring::lag(const LagArgs& /*args*/) {
  throw InvalidArgument("lag has no kernel here");
}

void CudaScoring::random(const PromptScores& /*args*/, std::uint64_t /*seed*/, int /*layer*/) {
  throw InvalidArgument("random has no kernel here");
}

void CudaScoring::recency(const PromptScores& /*args*/) {
  throw InvalidArgument("recency has no kernel here");
}

void CudaScoring::by_age(const PromptScores& /*args*/) {
  throw InvalidArgument("by_age has no kernel here");
}

void CudaScoring::chunk_means(const PromptScores& /*args*/, int /*chunk*/, int /*columns*/) {
  throw InvalidArgument("chunk_means has no kernel here");
}

void CudaScoring::output_norms(const OutputNormArgs& /*args*/) {
  throw InvalidArgument("output_norms has no kernel here");
}

void CudaScoring::protect(const PromptScores& /*args*/, int /*first*/, int /*last*/) {
  throw InvalidArgument("protect has no kernel here");
}

void CudaScoring::raise(const RaiseArgs& /*args*/) {
  throw InvalidArgument("raise has no kernel here");
}

void CudaScoring::choose(const ChooseArgs& /*args*/) {
  throw InvalidArgument("choose has no kernel here");
}

void CudaScoring::choose_channels(const ChannelArgs& /*args*/) {
  throw InvalidArgument("choose_channels has no kernel here");
}

void CudaScoring::evict(const EvictArgs& /*args*/) {
  throw InvalidArgument("evict has no kernel here");
}

void CudaScoring::redundancy(const RedundancyArgs& /*args*/) {
  throw InvalidArgument("redundancy has no kernel here");
}

void CudaScoring::page_bounds(const PageBoundsArgs& /*args*/) {
  throw InvalidArgument("page_bounds has no kernel here");
}

void CudaScoring::choose_pages(const ChoosePagesArgs& /*args*/) {
  throw InvalidArgument("choose_pages has no kernel here");
}

}  // namespace kvg::kernels
