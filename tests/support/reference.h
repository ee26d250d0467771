#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

/// What the operations of a backend mean: loops in double precision, written from the formulas.
namespace kvg::testing_support {

using Values = std::vector<double>;

struct NormWeights {
  kernels::NormKind kind = kernels::NormKind::kRms;
  Values weight;  ///< [dim]
  Values bias;    ///< [dim], kLayer only
  double eps = 1e-5;
};

/// Every row of [rows, dim].
[[nodiscard]] Values normalised(const Values& in, const NormWeights& norm);

struct Matrix {
  Values weight;  ///< [out, in]
  Values bias;    ///< [out], or empty
  int out = 0;
  int in = 0;
};

/// [rows, in] -> [rows, out].
[[nodiscard]] Values multiplied(const Values& in, const Matrix& matrix);

/// [rows, width] -> [rows, width], or [rows, width / 2] for a gated form.
[[nodiscard]] Values activated(const Values& in, kernels::Activation activation, int width);

struct RopeTable {
  Values table;  ///< [positions, rotary_dim / 2, 2]: cosine, sine
  int rotary_dim = 0;
};

/// One head, turned to `position`.
[[nodiscard]] Values rotated(const Values& head, const RopeTable& rope, int position);

/// softmax(scale * scores) . values. `queries` holds one query for every entry, so that sinks can
/// be looked at from elsewhere.
struct HeadAttention {
  std::vector<const Values*> queries;  ///< [entries], each [head_dim]
  Values keys;                         ///< [entries, head_dim]
  Values values;                       ///< [entries, head_dim]
  double scale = 1.0;
};
[[nodiscard]] Values attended(const HeadAttention& head);

/// ln of the sum of e^logit.
[[nodiscard]] double log_sum_exp(const Values& logits);
/// -log softmax(logits)[target]; 0 for a negative target.
[[nodiscard]] double negative_log_likelihood(const Values& logits, std::int32_t target);
/// Sum of p (ln p - ln q) over the softmaxes p of `reference` and q of `logits`.
[[nodiscard]] double divergence(const Values& reference, const Values& logits);
/// The lowest index of the largest value.
[[nodiscard]] std::int32_t arg_max(const Values& logits);

/// Adds element by element.
void add(Values& to, const Values& what);

/// |got - want| / |want| in the Euclidean norm; NaN when anything is.
[[nodiscard]] double relative_error(const Values& got, const Values& want);

}  // namespace kvg::testing_support
