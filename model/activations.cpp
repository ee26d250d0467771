#include "model/activations.h"

#include <algorithm>

namespace kvg::model {
namespace {

// Enough rows for a matrix product to run at full rate, few enough for small activations.
constexpr int kDefaultChunk = 2048;

// Of logits held at once: enough rows for a product, little beside a cache.
constexpr std::size_t kLogitBytes = std::size_t{64} << 20U;
constexpr int kLogitRowStep = 64;

constexpr std::size_t kAlignment = 256;

int chunk_limit(const RunShape& shape) {
  return shape.chunk > 0 ? shape.chunk : kDefaultChunk;
}

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

int rows_of_a_chunk(const RunShape& shape) {
  return std::max(chunk_limit(shape) / std::max(shape.prompt, 1), 1);
}

Chunking chunking(const RunShape& shape) {
  const int limit = chunk_limit(shape);
  if (static_cast<long>(shape.batch) * shape.prompt <= limit) {
    return {.batch = shape.batch, .tokens = shape.prompt};
  }
  return {.batch = 1, .tokens = std::min(limit, shape.prompt)};
}

int logit_rows(const Config& config, const RunShape& shape) {
  const Chunking chunk = chunking(shape);
  const auto fitting =
      static_cast<int>(kLogitBytes / sizeof(float) / static_cast<std::size_t>(config.vocab));
  const int rounded = std::max(fitting / kLogitRowStep, 1) * kLogitRowStep;
  return std::min(rounded, chunk.batch * chunk.tokens);
}

IoLayout lay_out_io(const RunShape& shape, bool pass) {
  const auto batch = static_cast<std::size_t>(shape.batch);
  const std::size_t tokens = batch * static_cast<std::size_t>(std::max(shape.prompt, 1));
  IoLayout io{.scored = pass ? tokens : batch};
  io.targets = tokens * sizeof(std::int32_t);
  io.best = io.targets + io.scored * sizeof(std::int32_t);
  io.nll = io.best + io.scored * sizeof(std::int32_t);
  io.total = io.nll + io.scored * sizeof(float);
  return io;
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
  at.sink_query =
      cursor.take(extras.sink_queries ? (extras.pass ? rows : batch) * query_width : 0, element);
  at.attended = cursor.take(rows * query_width, element);
  at.mlp = cursor.take(rows * static_cast<std::size_t>(config.intermediate), element);
  const std::size_t scored =
      extras.pass ? static_cast<std::size_t>(logit_rows(config, shape)) : batch;
  at.logits = cursor.take(scored * static_cast<std::size_t>(config.vocab), sizeof(float));
  at.rope = cursor.take(static_cast<std::size_t>(shape.tokens + extras.future) *
                            static_cast<std::size_t>(config.rotary_dim),
                        sizeof(float));
  at.prompt_kv = cursor.take(extras.prompt_kv ? 2 * batch * prompt * kv_width : 0, element);
  at.total = cursor.end();
  return at;
}

}  // namespace kvg::model
