#include "model/activations.h"

#include <algorithm>

namespace kvg::model {
namespace {

// Enough rows for a matrix product to run at full rate, few enough for small activations.
constexpr int kDefaultChunk = 2048;

constexpr std::size_t kAlignment = 256;

class Cursor {
 public:
  // Offset of the next `count` elements of `bytes` each.
  std::size_t take(std::size_t count, std::size_t bytes) {
    const std::size_t at = end_;
    end_ += (count * bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  [[nodiscard]] std::size_t end() const { return end_; }

 private:
  std::size_t end_ = 0;
};

}  // namespace

Chunking chunking(const RunShape& shape) {
  const int limit = shape.chunk > 0 ? shape.chunk : kDefaultChunk;
  if (static_cast<long>(shape.batch) * shape.prompt <= limit) {
    return {.batch = shape.batch, .tokens = shape.prompt};
  }
  return {.batch = 1, .tokens = std::min(limit, shape.prompt)};
}

Activations lay_out(const Config& config,
                    const RunShape& shape,
                    DType compute,
                    const Extras& extras) {
  const auto batch = static_cast<std::size_t>(shape.batch);
  const auto prompt = static_cast<std::size_t>(shape.prompt);
  const auto hidden = static_cast<std::size_t>(config.hidden);
  const auto query_width = static_cast<std::size_t>(config.heads.heads) *
                           static_cast<std::size_t>(config.heads.head_dim);
  const auto kv_width = static_cast<std::size_t>(config.heads.kv_heads) *
                        static_cast<std::size_t>(config.heads.head_dim);
  const Chunking chunk = chunking(shape);
  const std::size_t rows = std::max(
      batch, static_cast<std::size_t>(chunk.batch) * static_cast<std::size_t>(chunk.tokens));
  const std::size_t element = size_of(compute);

  Cursor cursor;
  Activations at;
  at.residual = cursor.take(batch * std::max<std::size_t>(prompt, 1) * hidden, sizeof(float));
  at.query = cursor.take(rows * query_width, element);
  at.sink_query = cursor.take(batch * query_width, element);
  at.attended = cursor.take(rows * query_width, element);
  at.mlp = cursor.take(rows * static_cast<std::size_t>(config.intermediate), element);
  at.logits = cursor.take(batch * static_cast<std::size_t>(config.vocab), sizeof(float));
  at.rope = cursor.take(static_cast<std::size_t>(shape.tokens + extras.future) *
                            static_cast<std::size_t>(config.rotary_dim),
                        sizeof(float));
  at.prompt_kv = cursor.take(extras.prompt_kv ? 2 * batch * prompt * kv_width : 0, element);
  at.total = cursor.end();
  return at;
}

}  // namespace kvg::model
