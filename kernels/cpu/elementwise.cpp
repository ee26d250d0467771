#include "kernels/cpu/elementwise.h"

#include <cmath>

#include "kernels/cpu/vector.h"

namespace kvg::kernels::cpu {
namespace {

KVG_INLINE double mean_of(const float* in, std::size_t dim) {
  Doubles sum = {};
  for (std::size_t i = 0; i < dim; i += kDoubleLanes) {
    sum += load_doubles(in + i, dim - i < kDoubleLanes ? dim - i : kDoubleLanes);
  }
  return sum_of(sum) / static_cast<double>(dim);
}

KVG_INLINE double mean_square_of(const float* in, std::size_t dim, double mean) {
  Doubles sum = {};
  std::size_t i = 0;
  for (; i + kDoubleLanes <= dim; i += kDoubleLanes) {
    const Doubles x = load_doubles(in + i) - mean;
    sum += x * x;
  }
  double total = sum_of(sum);
  for (; i < dim; ++i) {
    const double x = static_cast<double>(in[i]) - mean;
    total += x * x;
  }
  return total / static_cast<double>(dim);
}

// x / (1 + e^-x).
KVG_INLINE Floats silu_of(const Floats& x) {
  return x / (exp_of(-x) + 1.0F);
}

// x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x / (1 + e^(-2 u)).
KVG_INLINE Floats gelu_tanh_of(const Floats& x) {
  const Floats u = x * 0.797884561F * (x * x * 0.044715F + 1.0F);
  return x / (exp_of(u * -2.0F) + 1.0F);
}

// x (1 + erf(x / sqrt(2))) / 2 through erfc(z) = t e^(P(t) - z^2), t = 1 / (1 + z / 2), for z >= 0:
// a Chebyshev fit with a relative error below 1.2e-7, so that the negative tail keeps its digits.
KVG_INLINE Floats gelu_of(const Floats& x) {
  const Ints negative = x < 0.0F;
  const Floats z = (negative ? -x : x) * 0.707106781F;
  const Floats t = 1.0F / (z * 0.5F + 1.0F);
  Floats p = broadcast(0.17087277F);
  p = p * t - 0.82215223F;
  p = p * t + 1.48851587F;
  p = p * t - 1.13520398F;
  p = p * t + 0.27886807F;
  p = p * t - 0.18628806F;
  p = p * t + 0.09678418F;
  p = p * t + 0.37409196F;
  p = p * t + 1.00002368F;
  p = p * t - 1.26551223F;
  const Floats half_tail = t * exp_of(p - z * z) * 0.5F;
  return x * (negative ? half_tail : 1.0F - half_tail);
}

KVG_INLINE Floats activation_of(Activation activation, const Floats& x) {
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kGelu:
    case Activation::kGatedGelu:
      return gelu_of(x);
    case Activation::kGeluTanh:
    case Activation::kGatedGeluTanh:
      return gelu_tanh_of(x);
    case Activation::kSilu:
    case Activation::kGatedSilu:
      return silu_of(x);
  }
  return x;
}

KVG_INLINE float max_of(const float* values, std::size_t count) {
  Floats best = broadcast(values[0]);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    best = larger(load_lanes<Floats>(values + i), best);
  }
  float max = largest_of(best);
  for (; i < count; ++i) {
    max = values[i] > max ? values[i] : max;
  }
  return max;
}

// ln of the sum of e^value; `max` is the largest of them.
KVG_INLINE double log_sum_exp(const float* values, float max, std::size_t count) {
  const auto wide_max = static_cast<double>(max);
  Doubles sums = {};
  std::size_t i = 0;
  for (; i + kDoubleLanes <= count; i += kDoubleLanes) {
    sums += exp_of(load_doubles(values + i) - wide_max);
  }
  double sum = sum_of(sums);
  for (; i < count; ++i) {
    sum += std::exp(static_cast<double>(values[i]) - wide_max);
  }
  return std::log(sum) + wide_max;
}

}  // namespace

KVG_CLONES void normalise(const Norm& norm, const float* in, float* out, int dim) {
  const auto count = static_cast<std::size_t>(dim);
  const bool centred = norm.kind == NormKind::kLayer;
  const double mean = centred ? mean_of(in, count) : 0.0;
  const double mean_square = mean_square_of(in, count, mean);
  const auto scale =
      static_cast<float>(1.0 / std::sqrt(mean_square + static_cast<double>(norm.eps)));
  const auto shift = static_cast<float>(mean);
  if (!centred) {
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = in[i] * scale * norm.weight[i];
    }
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = (in[i] - shift) * scale * norm.weight[i] + norm.bias[i];
  }
}

KVG_CLONES void activate(Activation activation, float* values, std::size_t count) {
  if (activation == Activation::kNone) {
    return;
  }
  for (std::size_t i = 0; i < count; i += kLanes) {
    const std::size_t lanes = count - i < kLanes ? count - i : kLanes;
    const auto x = load_lanes<Floats>(values + i, lanes);
    store_lanes(values + i, activation_of(activation, x), lanes);
  }
}

KVG_CLONES void activate_gated(Activation activation,
                               float* out,
                               const GateAndUp& in,
                               std::size_t count) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const std::size_t lanes = count - i < kLanes ? count - i : kLanes;
    const auto gate = load_lanes<Floats>(in.gate + i, lanes);
    const auto up = load_lanes<Floats>(in.up + i, lanes);
    store_lanes(out + i, activation_of(activation, gate) * up, lanes);
  }
}

KVG_CLONES SoftmaxPart exponentiate(float* values, float scale, std::size_t count) {
  const float max = max_of(values, count);
  Floats sums = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats power = exp_of((load_lanes<Floats>(values + i) - max) * scale);
    store_lanes(values + i, power);
    sums += power;
  }
  float sum = sum_of(sums);
  if (i < count) {
    const Floats power = exp_of((load_lanes<Floats>(values + i, count - i) - max) * scale);
    store_lanes(values + i, power, count - i);
    for (std::size_t lane = 0; lane < count - i; ++lane) {
      sum += power[lane];
    }
  }
  return {.max = max * scale, .sum = sum};
}

KVG_CLONES RowScore score_row(const float* logits, int vocab, std::int32_t target) {
  const auto count = static_cast<std::size_t>(vocab);
  const float max = max_of(logits, count);
  std::size_t best = 0;
  while (best + 1 < count && logits[best] != max) {
    ++best;
  }
  if (target < 0) {
    return {.nll = 0.0F, .best = static_cast<std::int32_t>(best)};
  }
  const double nll = log_sum_exp(logits, max, count) - static_cast<double>(logits[target]);
  return {.nll = static_cast<float>(nll), .best = static_cast<std::int32_t>(best)};
}

// p and q sum to 1, so that taking their difference changes nothing but the rounding: every term is
// at least 0, and an error of a sum cancels to first order.
KVG_CLONES float divergence(const float* reference, const float* logits, int vocab) {
  const auto count = static_cast<std::size_t>(vocab);
  const double reference_sum = log_sum_exp(reference, max_of(reference, count), count);
  const double logits_sum = log_sum_exp(logits, max_of(logits, count), count);
  Doubles terms = {};
  std::size_t i = 0;
  for (; i + kDoubleLanes <= count; i += kDoubleLanes) {
    const Doubles log_p = load_doubles(reference + i) - reference_sum;
    const Doubles log_q = load_doubles(logits + i) - logits_sum;
    const Doubles p = exp_of(log_p);
    // Where p is 0 the product may be one of 0 and infinity.
    const Doubles gain = p == 0.0 ? Doubles{} : p * (log_p - log_q) - p;
    terms += gain + exp_of(log_q);
  }
  double sum = sum_of(terms);
  for (; i < count; ++i) {
    const double log_p = static_cast<double>(reference[i]) - reference_sum;
    const double log_q = static_cast<double>(logits[i]) - logits_sum;
    const double p = std::exp(log_p);
    sum += (p > 0.0 ? p * (log_p - log_q) - p : 0.0) + std::exp(log_q);
  }
  return static_cast<float>(sum < 0.0 ? 0.0 : sum);
}

}  // namespace kvg::kernels::cpu
