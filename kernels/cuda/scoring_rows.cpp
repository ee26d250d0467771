#include "kernels/cuda/scoring_rows.cuh"

#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"

namespace kvg::kernels {
namespace {

void check_shape(const HeadShape& shape) {
  KVG_EXPECT(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
}

}  // namespace

void CudaScoring::column_sums(const ColumnSumsArgs& args) {
  const QueryChunk& chunk = args.chunk;
  check(args.kv);
  check_shape(chunk.shape);
  KVG_EXPECT(args.reduce != Reduce::kAll, "column sums are reduced over the group");
  if (chunk.tokens == 0 || chunk.batch == 0) {
    return;
  }
  const QueryRows queries = {
      .query = chunk.query,
      .batch_stride = std::int64_t{chunk.tokens} * chunk.shape.heads * chunk.shape.head_dim,
      .kv = args.kv,
      .shape = chunk.shape,
      .batch = chunk.batch,
      .past = chunk.past,
      .tokens = chunk.tokens,
      .scale = args.scale};
  Stretches memory(scratch_, scratch_bytes_);
  const RowScratch scratch = row_scratch(
      memory, target_, {.heads = chunk.shape, .batch = chunk.batch, .count = chunk.tokens});
  softmax_rows(target_, queries, scratch);
  const int group = chunk.shape.heads / chunk.shape.kv_heads;
  add_columns(target_,
              {.figure = args.reduce == Reduce::kMax ? Figure::kMax : Figure::kSum,
               .queries = queries,
               .present = chunk.past + chunk.tokens,
               .keys = args.keys,
               .rows = scratch.rows,
               .out = args.out + std::int64_t{chunk.first_row} * chunk.shape.kv_heads * args.keys,
               .share = args.reduce == Reduce::kMean ? 1.0 / group : 1.0});
}

void CudaScoring::window_rows(const WindowRowsArgs& args) {
  check(args.kv);
  check_shape(args.shape);
  const int tokens = std::min(args.window, args.keys);
  if (tokens == 0 || args.batch == 0) {
    return;
  }
  const std::int64_t pitch = std::int64_t{args.shape.heads} * args.shape.head_dim;
  const std::size_t missing = static_cast<std::size_t>((args.window - tokens) * pitch);
  const QueryRows queries = {
      .query = static_cast<const std::byte*>(args.query) + missing * size_of(compute_),
      .batch_stride = args.window * pitch,
      .kv = args.kv,
      .shape = args.shape,
      .batch = args.batch,
      .past = args.keys - tokens,
      .tokens = tokens,
      .scale = args.scale};
  ColumnsArgs columns = {.figure = args.logits ? Figure::kLogits : Figure::kMean,
                         .queries = queries,
                         .present = args.keys,
                         .keys = args.keys,
                         .out_rows = args.out,
                         .window = args.window,
                         .share = 1.0 / tokens};
  if (!args.logits) {
    Stretches memory(scratch_, scratch_bytes_);
    const RowScratch scratch =
        row_scratch(memory, target_, {.heads = args.shape, .batch = args.batch, .count = tokens});
    softmax_rows(target_, queries, scratch);
    columns.rows = scratch.rows;
  }
  add_columns(target_, columns);
}

void CudaScoring::output_norms(const OutputNormArgs& args) {
  const PromptScores& to = args.to;
  check(to.kv);
  check_shape(to.shape);
  KVG_EXPECT(args.dtype == compute_, "weights on CUDA have the compute dtype");
  if (to.keys == 0 || to.batch == 0) {
    return;
  }
  KvView values = to.kv;
  values.keys = to.kv.values;
  // Every row of W_o "sees" every value; all batch rows share it.
  add_columns(target_,
              {.figure = Figure::kNorms,
               .queries = {.query = args.weight,
                           .batch_stride = 0,
                           .kv = values,
                           .shape = to.shape,
                           .batch = to.batch,
                           .past = to.keys,
                           .tokens = args.hidden},
               .present = to.keys,
               .keys = to.keys,
               .out = to.out,
               .share = static_cast<double>(to.shape.kv_heads) / to.shape.heads,
               .epsilon = args.epsilon});
}

}  // namespace kvg::kernels
