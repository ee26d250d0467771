#pragma once

#include "kernels/cuda/scoring_scratch.cuh"

namespace kvg::kernels {

/// Queries of a prompt at positions past, past + 1, ..., and the keys that they see.
struct QueryRows {
  const void* query = nullptr;  ///< [batch, tokens, heads, head_dim], rows of a batch row apart by
  std::int64_t batch_stride = 0;  ///< ... elements
  KvView kv;
  HeadShape shape;
  int batch = 0;
  int past = 0;
  int tokens = 0;
  float scale = 1.0F;
};

/// Fills `scratch.rows` with every query's largest score, in units of log 2, and the inverse of its
/// sum of powers of 2 relative to it.
void softmax_rows(const Target& target, const QueryRows& queries, const RowScratch& scratch);

inline constexpr float kScoreLog2E = 1.4426950408889634F;

/// What becomes of the scores of a prompt.
enum class Figure {
  kSum,     ///< of probabilities, over queries and heads
  kMax,     ///< likewise, of the group's largest
  kMean,    ///< of probabilities over queries, for each head
  kLogits,  ///< the group's largest scores, for each query
  kNorms    ///< of absolute products, over rows and heads
};

/// Figures of keys, added up over queries.
struct ColumnsArgs {
  Figure figure = Figure::kSum;
  QueryRows queries;             ///< kv.keys are what the blocks hold
  int present = 0;               ///< keys held by all blocks together
  int keys = 0;                  ///< of a row of the result
  const float2* rows = nullptr;  ///< softmaxes; null: not needed
  double* out = nullptr;         ///< [batch, kv_heads, keys]; kSum, kMax: added to
  float* out_rows = nullptr;     ///< kMean, kLogits: as in WindowRowsArgs
  int window = 0;                ///< kLogits
  double share = 1.0;            ///< factor of the figures
  double epsilon = 0.0;          ///< kNorms
};

void add_columns(const Target& target, const ColumnsArgs& args);

}  // namespace kvg::kernels
