#pragma once

#include <cstdint>
#include <vector>

#include "kernels/scoring.h"
#include "tests/support/reference.h"

/// What the operations of Scoring mean: loops in double precision, written from the formulas.
namespace kvg::testing_support {

/// A prompt's observations, as values that every type can hold.
struct PromptData {
  kernels::HeadShape shape;
  int batch = 1;
  int tokens = 0;
  Values query;   ///< [batch, tokens, heads, head_dim], after RoPE
  Values keys;    ///< [batch, kv_heads, tokens, head_dim]
  Values values;  ///< likewise

  [[nodiscard]] int group() const { return shape.heads / shape.kv_heads; }
  [[nodiscard]] double scale() const;
  [[nodiscard]] const double* query_at(int row, int token, int head) const;
  [[nodiscard]] const double* key_at(int row, int kv_head, int token) const;
  [[nodiscard]] const double* value_at(int row, int kv_head, int token) const;
};

/// Calls work(row, kv_head) in the order of [batch, kv_heads].
template <typename Work>
void for_kv_heads(const PromptData& data, const Work& work) {
  for (int row = 0; row < data.batch; ++row) {
    for (int kv_head = 0; kv_head < data.shape.kv_heads; ++kv_head) {
      work(row, kv_head);
    }
  }
}

[[nodiscard]] double dot(const double* a, const double* b, int count);
[[nodiscard]] Values softmax(const Values& logits);
/// Of one figure for each query head, those of the group alone unless kAll.
[[nodiscard]] double reduced(const Values& figures, kernels::Reduce reduce);

/// What the query of `token` sees: [token + 1].
[[nodiscard]] Values logits_of(const PromptData& data, int row, int head, int token);

[[nodiscard]] Values column_sums(const PromptData& data, kernels::Reduce reduce);
[[nodiscard]] Values window_probabilities(const PromptData& data, int window);
[[nodiscard]] Values window_logits(const PromptData& data, int window);

struct Moments {
  Values sums;      ///< [batch, heads, head_dim]
  Values products;  ///< [batch, heads, head_dim, head_dim]
};
[[nodiscard]] Moments moments(const PromptData& data, const RopeTable& rope, int skip);

struct Pooling {
  int columns = 0;
  int kernel = 1;
  kernels::Reduce reduce = kernels::Reduce::kMean;
};
/// Of [batch, heads, tokens].
[[nodiscard]] Values pooled(const PromptData& data, const Values& rows, const Pooling& pooling);

[[nodiscard]] Values key_norms(const PromptData& data);
[[nodiscard]] Values key_likeness(const PromptData& data);

struct Expected {
  RopeTable rope;
  int future = 512;
  int skip = 4;
};
[[nodiscard]] Values expected(const PromptData& data, const Expected& how);
[[nodiscard]] Values lag(const PromptData& data, int sinks, int lag);
/// `weight` is [hidden, heads x head_dim].
[[nodiscard]] Values output_norms(const PromptData& data, const Matrix& weight);

/// The `count` largest, ascending; of equals the last.
[[nodiscard]] std::vector<std::int32_t> largest(const Values& scores, int count);

/// ThinK's channels of every kv_head, one behind the other.
[[nodiscard]] std::vector<std::int16_t> channels(const PromptData& data, int window, int count);

/// R-KV's scores of one head's entries, the oldest first.
struct Redundancy {
  Values logits;  ///< [window, entries], the largest of the group
  Values keys;    ///< [entries, head_dim]
  int entries = 0;
  int older = 0;  ///< entries before the window
  int window = 0;
  int kernel = 7;
  double lambda = 0.1;
  double threshold = 0.5;
};
[[nodiscard]] Values redundancy(const Redundancy& head);

}  // namespace kvg::testing_support
