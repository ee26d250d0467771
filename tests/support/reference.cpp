#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numbers>

namespace kvg::testing_support {
namespace {

using kernels::Activation;

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
    case Activation::kGatedGelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh:
    case Activation::kGatedGeluTanh:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::kSilu:
    case Activation::kGatedSilu:
      return x / (1.0 + std::exp(-x));
  }
  return std::nan("");
}

}  // namespace

Values normalised(const Values& in, const NormWeights& norm) {
  const std::size_t dim = norm.weight.size();
  Values out(in.size());
  for (std::size_t row = 0; row < in.size(); row += dim) {
    double mean = 0.0;
    if (norm.kind == kernels::NormKind::kLayer) {
      for (std::size_t i = 0; i < dim; ++i) {
        mean += in[row + i] / static_cast<double>(dim);
      }
    }
    double mean_square = 0.0;
    for (std::size_t i = 0; i < dim; ++i) {
      mean_square += (in[row + i] - mean) * (in[row + i] - mean) / static_cast<double>(dim);
    }
    for (std::size_t i = 0; i < dim; ++i) {
      const double bias = norm.kind == kernels::NormKind::kLayer ? norm.bias[i] : 0.0;
      out[row + i] =
          (in[row + i] - mean) / std::sqrt(mean_square + norm.eps) * norm.weight[i] + bias;
    }
  }
  return out;
}

Values multiplied(const Values& in, const Matrix& matrix) {
  const auto width = static_cast<std::size_t>(matrix.in);
  const auto features = static_cast<std::size_t>(matrix.out);
  const std::size_t rows = in.size() / width;
  Values out(rows * features);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t feature = 0; feature < features; ++feature) {
      double sum = matrix.bias.empty() ? 0.0 : matrix.bias[feature];
      for (std::size_t i = 0; i < width; ++i) {
        sum += matrix.weight[feature * width + i] * in[row * width + i];
      }
      out[row * features + feature] = sum;
    }
  }
  return out;
}

Values activated(const Values& in, Activation activation, int width) {
  const auto columns = static_cast<std::size_t>(width);
  if (!kernels::is_gated(activation)) {
    Values out(in.size());
    std::ranges::transform(in, out.begin(), [&](double x) { return activation_of(activation, x); });
    return out;
  }
  const std::size_t half = columns / 2;
  Values out;
  for (std::size_t row = 0; row < in.size(); row += columns) {
    for (std::size_t i = 0; i < half; ++i) {
      out.push_back(activation_of(activation, in[row + i]) * in[row + half + i]);
    }
  }
  return out;
}

Values rotated(const Values& head, const RopeTable& rope, int position) {
  Values out = head;
  const auto half = static_cast<std::size_t>(rope.rotary_dim / 2);
  for (std::size_t i = 0; i < half; ++i) {
    const std::size_t at = (static_cast<std::size_t>(position) * half + i) * 2;
    const double cosine = rope.table[at];
    const double sine = rope.table[at + 1];
    out[i] = head[i] * cosine - head[i + half] * sine;
    out[i + half] = head[i + half] * cosine + head[i] * sine;
  }
  return out;
}

Values attended(const HeadAttention& head) {
  const std::size_t entries = head.queries.size();
  const std::size_t dim = head.keys.size() / entries;
  Values weights(entries);
  for (std::size_t s = 0; s < entries; ++s) {
    for (std::size_t i = 0; i < dim; ++i) {
      weights[s] += head.scale * (*head.queries[s])[i] * head.keys[s * dim + i];
    }
  }
  const double max = *std::ranges::max_element(weights);
  double sum = 0.0;
  for (double& weight : weights) {
    weight = std::exp(weight - max);
    sum += weight;
  }
  Values out(dim);
  for (std::size_t s = 0; s < entries; ++s) {
    for (std::size_t i = 0; i < dim; ++i) {
      out[i] += weights[s] / sum * head.values[s * dim + i];
    }
  }
  return out;
}

double log_sum_exp(const Values& logits) {
  const double max = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const double logit : logits) {
    sum += std::exp(logit - max);
  }
  return max + std::log(sum);
}

double negative_log_likelihood(const Values& logits, std::int32_t target) {
  return target < 0 ? 0.0 : log_sum_exp(logits) - logits[static_cast<std::size_t>(target)];
}

double divergence(const Values& reference, const Values& logits) {
  const double reference_sum = log_sum_exp(reference);
  const double logits_sum = log_sum_exp(logits);
  double sum = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double log_p = reference[i] - reference_sum;
    const double log_q = logits[i] - logits_sum;
    sum += std::exp(log_p) == 0.0 ? 0.0 : std::exp(log_p) * (log_p - log_q);
  }
  return sum;
}

std::int32_t arg_max(const Values& logits) {
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

void add(Values& to, const Values& what) {
  std::transform(to.begin(), to.end(), what.begin(), to.begin(), std::plus<>());
}

double relative_error(const Values& got, const Values& want) {
  if (got.size() != want.size()) {
    return std::nan("");
  }
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(error / norm);
}

}  // namespace kvg::testing_support
