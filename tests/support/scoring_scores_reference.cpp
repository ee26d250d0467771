#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "tests/support/scoring_reference.h"

namespace kvg::testing_support {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t size(int count) {
  return static_cast<std::size_t>(count);
}

double norm(const double* x, int count) {
  return std::sqrt(dot(x, x, count));
}

// LagKV's softmax over one partition of one side.
Values spreads(const double* partition, int lag, int dim) {
  const double* const next = partition + size(lag) * size(dim);
  Values deviations;
  for (int i = 0; i < lag; ++i) {
    Values figures;
    for (int c = 0; c < dim; ++c) {
      double least = kInfinity;
      double most = -kInfinity;
      for (int j = 0; j < lag; ++j) {
        least = std::min(least, next[j * dim + c]);
        most = std::max(most, next[j * dim + c]);
      }
      figures.push_back(most > least ? (partition[i * dim + c] - least) / (most - least) : 0.0);
    }
    const double mean = std::accumulate(figures.begin(), figures.end(), 0.0) / dim;
    double squares = 0.0;
    for (const double figure : figures) {
      squares += (figure - mean) * (figure - mean);
    }
    deviations.push_back(std::sqrt(squares / (dim - 1)));
  }
  return softmax(deviations);
}

// The matrix that turns by the mean rotation of positions first .. first + count - 1: column e is
// where channel e goes.
Values mean_rotation(const RopeTable& rope, int dim, int first, int count) {
  Values matrix(size(dim * dim));
  for (int e = 0; e < dim; ++e) {
    Values unit(size(dim));
    unit[size(e)] = 1.0;
    for (int position = first; position < first + count; ++position) {
      const Values turned = rotated(unit, rope, position);
      for (int i = 0; i < dim; ++i) {
        matrix[size(i * dim + e)] += turned[size(i)] / count;
      }
    }
  }
  return matrix;
}

Values product(const Values& a, const Values& b, int rows, int inner, int columns) {
  Values out(size(rows * columns));
  for (int i = 0; i < rows; ++i) {
    for (int k = 0; k < inner; ++k) {
      for (int j = 0; j < columns; ++j) {
        out[size(i * columns + j)] += a[size(i * inner + k)] * b[size(k * columns + j)];
      }
    }
  }
  return out;
}

Values transposed(const Values& a, int dim) {
  Values out(a.size());
  for (int i = 0; i < dim; ++i) {
    for (int j = 0; j < dim; ++j) {
      out[size(j * dim + i)] = a[size(i * dim + j)];
    }
  }
  return out;
}

struct Future {
  Moments moments;
  Values turn;  ///< [head_dim, head_dim], the mean rotation
};

// softmax(k mu / sqrt(d) + k S k / (2 d)) over tokens from `skip` on, of one query head.
Values expected_of_head(
    const PromptData& data, const Expected& how, const Future& of, int row, int head) {
  const int dim = data.shape.head_dim;
  const int count = data.tokens - how.skip;
  const auto index = static_cast<std::ptrdiff_t>(row) * data.shape.heads + head;
  const double* const sums = of.moments.sums.data() + index * dim;
  const double* const products = of.moments.products.data() + index * dim * dim;
  Values mean(size(dim));
  Values covariance(size(dim * dim));
  for (int i = 0; i < dim; ++i) {
    mean[size(i)] = sums[i] / count;
  }
  for (int i = 0; i < dim * dim; ++i) {
    covariance[size(i)] = products[i] / count - mean[size(i / dim)] * mean[size(i % dim)];
  }
  const Values& turn = of.turn;
  mean = product(turn, mean, dim, dim, 1);
  covariance =
      product(product(turn, covariance, dim, dim, dim), transposed(turn, dim), dim, dim, dim);
  Values logits;
  for (int token = how.skip; token < data.tokens; ++token) {
    const double* const key = data.key_at(row, head / data.group(), token);
    const Values turned = product(covariance, Values(key, key + dim), dim, dim, 1);
    logits.push_back(dot(key, mean.data(), dim) / std::sqrt(dim) +
                     dot(key, turned.data(), dim) / (2.0 * dim));
  }
  return softmax(logits);
}

}  // namespace

Values key_norms(const PromptData& data) {
  Values all;
  for_kv_heads(data, [&](int row, int kv_head) {
    for (int token = 0; token < data.tokens; ++token) {
      all.push_back(-norm(data.key_at(row, kv_head, token), data.shape.head_dim));
    }
  });
  return all;
}

Values key_likeness(const PromptData& data) {
  const int dim = data.shape.head_dim;
  Values all;
  for_kv_heads(data, [&](int row, int kv_head) {
    Values anchor(size(dim));
    for (int token = 0; token < data.tokens; ++token) {
      const double* const key = data.key_at(row, kv_head, token);
      for (int c = 0; c < dim; ++c) {
        anchor[size(c)] += key[c] / norm(key, dim) / data.tokens;
      }
    }
    for (int token = 0; token < data.tokens; ++token) {
      const double* const key = data.key_at(row, kv_head, token);
      all.push_back(-dot(anchor.data(), key, dim) / (norm(anchor.data(), dim) * norm(key, dim)));
    }
  });
  return all;
}

Values expected(const PromptData& data, const Expected& how) {
  const Future of = {.moments = moments(data, how.rope, how.skip),
                     .turn = mean_rotation(how.rope, data.shape.head_dim, data.tokens, how.future)};
  Values all;
  for_kv_heads(data, [&](int row, int kv_head) {
    Values scores(size(data.tokens), kInfinity);
    std::fill(scores.begin() + std::min(how.skip, data.tokens), scores.end(), 0.0);
    for (int member = 0; member < data.group() && how.skip < data.tokens; ++member) {
      const Values of_head = expected_of_head(data, how, of, row, kv_head * data.group() + member);
      for (std::size_t i = 0; i < of_head.size(); ++i) {
        scores[size(how.skip) + i] += of_head[i] / data.group();
      }
    }
    for (int token = how.skip; token < data.tokens; ++token) {
      scores[size(token)] *= norm(data.value_at(row, kv_head, token), data.shape.head_dim);
    }
    all.insert(all.end(), scores.begin(), scores.end());
  });
  return all;
}

Values lag(const PromptData& data, int sinks, int lag) {
  Values all;
  const bool is_short = data.tokens < sinks + 2 * lag;
  for_kv_heads(data, [&](int row, int kv_head) {
    Values scores(size(data.tokens), kInfinity);
    for (int token = sinks; token < data.tokens; ++token) {
      scores[size(token)] = token;
    }
    for (int first = sinks; !is_short && first + 2 * lag <= data.tokens; first += lag) {
      Values figures = spreads(data.key_at(row, kv_head, first), lag, data.shape.head_dim);
      const Values other = spreads(data.value_at(row, kv_head, first), lag, data.shape.head_dim);
      for (std::size_t i = 0; i < figures.size(); ++i) {
        figures[i] = (figures[i] + other[i]) / 2.0;
      }
      std::vector<std::size_t> order(figures.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return figures[a] < figures[b];
      });
      for (std::size_t rank = 0; rank < order.size(); ++rank) {
        scores[size(first) + order[rank]] = static_cast<double>(rank) / lag;
      }
    }
    all.insert(all.end(), scores.begin(), scores.end());
  });
  return all;
}

Values output_norms(const PromptData& data, const Matrix& weight) {
  const int dim = data.shape.head_dim;
  Values all;
  for_kv_heads(data, [&](int row, int kv_head) {
    for (int token = 0; token < data.tokens; ++token) {
      double sum = 0.0;
      for (int member = 0; member < data.group(); ++member) {
        const int column = (kv_head * data.group() + member) * dim;
        for (int feature = 0; feature < weight.out; ++feature) {
          sum += std::fabs(dot(weight.weight.data() + feature * weight.in + column,
                               data.value_at(row, kv_head, token),
                               dim));
        }
      }
      all.push_back(sum / data.group());
    }
  });
  return all;
}

std::vector<std::int32_t> largest(const Values& scores, int count) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const double of_a = scores[size(a)];
    const double of_b = scores[size(b)];
    return of_a != of_b ? of_a > of_b : a > b;
  });
  order.resize(std::min(order.size(), size(count)));
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<std::int16_t> channels(const PromptData& data, int window, int count) {
  const int dim = data.shape.head_dim;
  const int first = std::max(data.tokens - window, 0);
  std::vector<std::int16_t> all;
  for_kv_heads(data, [&](int row, int kv_head) {
    Values figures;  // from the last channel to the first, so that the lower of equals stays
    for (int c = dim - 1; c >= 0; --c) {
      double of_queries = 0.0;
      double of_keys = 0.0;
      for (int token = 0; token < data.tokens; ++token) {
        for (int member = 0; member < data.group() && token >= first; ++member) {
          const double x = data.query_at(row, token, kv_head * data.group() + member)[c];
          of_queries += x * x / ((data.tokens - first) * data.group());
        }
        const double x = data.key_at(row, kv_head, token)[c];
        of_keys += x * x / data.tokens;
      }
      figures.push_back(of_queries * of_keys);
    }
    std::vector<std::int32_t> kept = largest(figures, count);
    std::for_each(kept.rbegin(), kept.rend(), [&](std::int32_t index) {
      all.push_back(static_cast<std::int16_t>(dim - 1 - index));
    });
  });
  return all;
}

Values redundancy(const Redundancy& head) {
  const int n = head.entries;
  const int dim = static_cast<int>(head.keys.size()) / n;
  Values importance(size(head.older));
  for (int query = 0; query < head.window && head.older > 0; ++query) {
    const double* const row = head.logits.data() + query * n;
    const Values seen = softmax(Values(row, row + head.older));
    for (std::size_t i = 0; i < seen.size(); ++i) {
      importance[i] += seen[i] / head.window;
    }
  }
  Values likeness(size(n));
  for (int i = 0; i < n; ++i) {
    const double* const a = head.keys.data() + i * dim;
    Values row(size(n));
    int newest = -1;
    for (int j = 0; j < n; ++j) {
      const double* const b = head.keys.data() + j * dim;
      row[size(j)] = i == j ? 0.0 : dot(a, b, dim) / (norm(a, dim) * norm(b, dim));
      newest = row[size(j)] > head.threshold ? j : newest;
    }
    for (int j = 0; j < n; ++j) {
      likeness[size(j)] += j == newest ? 0.0 : row[size(j)] / n;
    }
  }
  likeness = softmax(likeness);
  Values scores(size(n), kInfinity);
  for (int i = 0; i < head.older; ++i) {
    const int begin = std::max(i - head.kernel / 2, 0);
    const int end = std::min(i + head.kernel / 2 + 1, head.older);
    const double most = *std::max_element(importance.begin() + begin, importance.begin() + end);
    scores[size(i)] = head.lambda * most - (1.0 - head.lambda) * likeness[size(i)];
  }
  return scores;
}

}  // namespace kvg::testing_support
