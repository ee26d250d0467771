#include "tests/support/scoring_reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace kvg::testing_support {
namespace {

using kernels::Reduce;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t size(int count) {
  return static_cast<std::size_t>(count);
}

const double* at(const Values& all, int outer, int count, int inner, int width) {
  return all.data() + (size(outer) * size(count) + size(inner)) * size(width);
}

Values probabilities(const PromptData& data, int row, int head, int token) {
  return softmax(logits_of(data, row, head, token));
}

}  // namespace

double PromptData::scale() const {
  return 1.0 / std::sqrt(shape.head_dim);
}

const double* PromptData::query_at(int row, int token, int head) const {
  return at(query, row * tokens + token, shape.heads, head, shape.head_dim);
}

const double* PromptData::key_at(int row, int kv_head, int token) const {
  return at(keys, row * shape.kv_heads + kv_head, tokens, token, shape.head_dim);
}

const double* PromptData::value_at(int row, int kv_head, int token) const {
  return at(values, row * shape.kv_heads + kv_head, tokens, token, shape.head_dim);
}

double dot(const double* a, const double* b, int count) {
  return std::inner_product(a, a + count, b, 0.0);
}

Values softmax(const Values& logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  Values out;
  double sum = 0.0;
  for (const double logit : logits) {
    out.push_back(std::exp(logit - most));
    sum += out.back();
  }
  for (double& value : out) {
    value /= sum;
  }
  return out;
}

double reduced(const Values& figures, Reduce reduce) {
  if (reduce == Reduce::kMax) {
    return *std::max_element(figures.begin(), figures.end());
  }
  const double sum = std::accumulate(figures.begin(), figures.end(), 0.0);
  return reduce == Reduce::kSum ? sum : sum / static_cast<double>(figures.size());
}

Values logits_of(const PromptData& data, int row, int head, int token) {
  const int dim = data.shape.head_dim;
  Values logits;
  for (int key = 0; key <= token; ++key) {
    logits.push_back(data.scale() * dot(data.query_at(row, token, head),
                                        data.key_at(row, head / data.group(), key),
                                        dim));
  }
  return logits;
}

Values column_sums(const PromptData& data, Reduce reduce) {
  Values all;
  for_kv_heads(data, [&](int row, int kv_head) {
    Values sums(size(data.tokens));
    for (int token = 0; token < data.tokens; ++token) {
      std::vector<Values> rows;
      rows.reserve(size(data.group()));
      for (int member = 0; member < data.group(); ++member) {
        rows.push_back(probabilities(data, row, kv_head * data.group() + member, token));
      }
      for (std::size_t key = 0; key < rows[0].size(); ++key) {
        Values figures;
        for (const Values& one : rows) {
          figures.push_back(one[key]);
        }
        sums[key] += reduced(figures, reduce);
      }
    }
    all.insert(all.end(), sums.begin(), sums.end());
  });
  return all;
}

Values window_probabilities(const PromptData& data, int window) {
  Values all;
  const int first = std::max(data.tokens - window, 0);
  for (int row = 0; row < data.batch; ++row) {
    for (int head = 0; head < data.shape.heads; ++head) {
      Values means(size(data.tokens));
      for (int token = first; token < data.tokens; ++token) {
        const Values seen = probabilities(data, row, head, token);
        for (std::size_t key = 0; key < seen.size(); ++key) {
          means[key] += seen[key] / (data.tokens - first);
        }
      }
      all.insert(all.end(), means.begin(), means.end());
    }
  }
  return all;
}

Values window_logits(const PromptData& data, int window) {
  const int heads = data.batch * data.shape.kv_heads;
  Values all(size(window * heads) * size(data.tokens), -kInfinity);
  for (int token = std::max(data.tokens - window, 0); token < data.tokens; ++token) {
    for_kv_heads(data, [&](int row, int kv_head) {
      const int index = token % window * heads + row * data.shape.kv_heads + kv_head;
      for (int member = 0; member < data.group(); ++member) {
        const Values seen = logits_of(data, row, kv_head * data.group() + member, token);
        for (std::size_t key = 0; key < seen.size(); ++key) {
          double& out = all[size(index) * size(data.tokens) + key];
          out = std::max(out, seen[key]);
        }
      }
    });
  }
  return all;
}

Moments moments(const PromptData& data, const RopeTable& rope, int skip) {
  const int dim = data.shape.head_dim;
  const std::size_t heads = size(data.batch * data.shape.heads);
  Moments out = {.sums = Values(heads * size(dim)), .products = Values(heads * size(dim * dim))};
  RopeTable backward = rope;  // the sine of the opposite angle
  for (std::size_t i = 1; i < backward.table.size(); i += 2) {
    backward.table[i] = -backward.table[i];
  }
  for (int row = 0; row < data.batch; ++row) {
    for (int token = skip; token < data.tokens; ++token) {
      for (int head = 0; head < data.shape.heads; ++head) {
        const double* const query = data.query_at(row, token, head);
        const Values x = rotated(Values(query, query + dim), backward, token);
        const std::size_t index = size(row * data.shape.heads + head);
        for (std::size_t i = 0; i < size(dim); ++i) {
          out.sums[index * size(dim) + i] += x[i];
          for (std::size_t j = 0; j < size(dim); ++j) {
            out.products[(index * size(dim) + i) * size(dim) + j] += x[i] * x[j];
          }
        }
      }
    }
  }
  return out;
}

Values pooled(const PromptData& data, const Values& rows, const Pooling& pooling) {
  Values all;
  const bool is_all = pooling.reduce == Reduce::kAll;
  const int members = is_all ? data.shape.heads : data.group();
  for_kv_heads(data, [&](int row, int kv_head) {
    for (int key = 0; key < data.tokens; ++key) {
      Values figures;
      for (int member = 0; member < members && key < pooling.columns; ++member) {
        const int head = is_all ? member : kv_head * members + member;
        const double* const of_head = at(rows, row, data.shape.heads, head, data.tokens);
        double sum = 0.0;
        for (int near = key - pooling.kernel / 2; near <= key + pooling.kernel / 2; ++near) {
          sum += near >= 0 && near < pooling.columns ? of_head[near] : 0.0;
        }
        figures.push_back(sum / pooling.kernel);
      }
      all.push_back(figures.empty() ? 0.0 : reduced(figures, pooling.reduce));
    }
  });
  return all;
}

}  // namespace kvg::testing_support
