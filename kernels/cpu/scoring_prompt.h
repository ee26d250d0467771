#pragma once

#include <cstddef>

#include "kernels/core/error.h"
#include "kernels/scoring.h"

// Where things lie in the arguments of Scoring.
namespace kvg::kernels::cpu {

inline std::size_t size(int count) {
  return static_cast<std::size_t>(count);
}

inline int group_of(const HeadShape& shape) {
  return shape.heads / shape.kv_heads;
}

inline void check(const HeadShape& shape) {
  KVG_EXPECT(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
}

inline void check(const KvView& view) {
  KVG_EXPECT(view.dtype == DType::kF32, "the cpu computes in f32");
}

/// Keys or values of one head: [tokens, head_dim].
inline const float* entries_of(const void* data, const KvView& view, int row, int kv_head) {
  return static_cast<const float*>(data) + row * view.batch_stride + kv_head * view.head_stride;
}

/// Head `head` of row `row` of [rows, heads, width].
template <typename T>
T* row_of(T* data, const HeadShape& shape, int row, int head, std::int64_t width) {
  return data + (static_cast<std::int64_t>(row) * shape.heads + head) * width;
}

/// One kv_head of one batch row.
struct KvHead {
  int row = 0;
  int kv_head = 0;
};

/// Number `index` of [batch, kv_heads].
inline KvHead kv_head_at(const HeadShape& shape, int index) {
  return {.row = index / shape.kv_heads, .kv_head = index % shape.kv_heads};
}

/// The scores of one kv_head: [keys].
inline double* scores_of(const PromptScores& args, int index) {
  return args.out + static_cast<std::ptrdiff_t>(index) * args.keys;
}

inline int kv_heads_of(const PromptScores& args) {
  return args.batch * args.shape.kv_heads;
}

/// The larger of two figures.
inline double larger(double a, double b) {
  return a < b ? b : a;
}

}  // namespace kvg::kernels::cpu
