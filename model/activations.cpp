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
    const std::size_t at = next_;
    next_ += (count * bytes + kAlignment - 1) / kAlignment * kAlignment;
    end_ = std::max(end_, next_);
    return at;
  }
  // What is taken next lies from `at` on, over what was taken before.
  void back_to(std::size_t at) { next_ = at; }
  // What is taken next lies behind everything.
  void go_on() { next_ = end_; }
  [[nodiscard]] std::size_t end() const { return end_; }

 private:
  std::size_t next_ = 0;
  std::size_t end_ = 0;
};

std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

// Elements of a row.
struct Widths {
  explicit Widths(const Config& config)
      : query(size(config.heads.heads) * size(config.heads.head_dim)),
        kv(size(config.heads.kv_heads) * size(config.heads.head_dim)),
        mlp(size(config.intermediate)) {}

  std::size_t query;
  std::size_t kv;
  std::size_t mlp;
};

LayerBuffers lay_out_apart(Cursor& cursor,
                           const Widths& widths,
                           std::size_t rows,
                           std::size_t element) {
  LayerBuffers at;
  at.attended = cursor.take(rows * widths.query, element);
  at.query = cursor.take(rows * widths.query, element);
  at.sink_query = cursor.take(rows * widths.query, element);
  at.mlp = cursor.take(rows * widths.mlp, element);
  return at;
}

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
  const std::size_t batch = size(shape.batch);
  const std::size_t prompt = size(shape.prompt);
  const Chunking chunk = chunking(shape);
  const std::size_t chunk_rows = size(chunk.batch) * size(chunk.tokens);
  const Widths widths(config);
  const std::size_t element = size_of(compute);

  Cursor cursor;
  Activations at;
  at.residual = cursor.take(
      (extras.prompt_kv ? batch * prompt : std::max(batch, chunk_rows)) * size(config.hidden),
      sizeof(float));
  at.step = lay_out_apart(cursor, widths, extras.pass ? 0 : batch, element);
  at.prompt.attended = cursor.take(chunk_rows * widths.query, element);
  at.prompt.query = cursor.take(chunk_rows * widths.query, element);
  at.prompt.sink_query = cursor.take(extras.sink_queries ? chunk_rows * widths.query : 0, element);
  cursor.back_to(config.parallel_residual ? at.prompt.query : at.prompt.attended);
  at.prompt.mlp = cursor.take(chunk_rows * widths.mlp, element);
  // The logits of a prompt's last token are made while other rows still go through the layers.
  if (extras.pass) {
    cursor.back_to(at.prompt.attended);
  } else {
    cursor.go_on();
  }
  at.logits = cursor.take(
      (extras.pass ? size(logit_rows(config, shape)) : batch) * size(config.vocab), sizeof(float));
  cursor.go_on();
  at.rope =
      cursor.take(size(shape.tokens + extras.future) * size(config.rotary_dim), sizeof(float));
  at.prompt_kv = cursor.take(extras.prompt_kv ? 2 * batch * prompt * widths.kv : 0, element);
  at.total = cursor.end();
  return at;
}

}  // namespace kvg::model
