#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"

namespace kvg::kernels::cpu {

/// One row of [dim]; statistics in double precision. `in` and `out` may be the same.
void normalise(const Norm& norm, const float* in, float* out, int dim);

/// values[i] = activation(values[i]) for one of the forms without a gate.
void activate(Activation activation, float* values, std::size_t count);

struct GateAndUp {
  const float* gate = nullptr;
  const float* up = nullptr;
};
/// out[i] = activation(gate[i]) * up[i] for one of the gated forms.
void activate_gated(Activation activation, float* out, const GateAndUp& in, std::size_t count);

/// values[i] = e^(scale * (values[i] - max)), with max over all of them.
struct SoftmaxPart {
  float max = 0.0F;  ///< of scale * values
  float sum = 0.0F;  ///< of the results
};
SoftmaxPart exponentiate(float* values, float scale, std::size_t count);

/// Negative log-likelihood of `target` (0 when negative) and arg-max of one row of logits.
struct RowScore {
  float nll = 0.0F;
  std::int32_t best = 0;
};
[[nodiscard]] RowScore score_row(const float* logits, int vocab, std::int32_t target);

/// KL(reference || logits) of two rows of logits, in nats.
[[nodiscard]] float divergence(const float* reference, const float* logits, int vocab);

}  // namespace kvg::kernels::cpu
