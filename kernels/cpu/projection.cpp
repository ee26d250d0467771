#include "kernels/cpu/projection.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/error.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/product.h"

namespace kvg::kernels::cpu {
namespace {

// Rows for which handing work to other threads pays; a task takes that many.
constexpr int kRowsPerTask = 8;

// Calls work(row) for every row, on all threads when there are enough rows.
template <typename Work>
void for_each_row(Team& team, int rows, const Work& work) {
  team.run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](int task, int) {
    const int end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int row = task * kRowsPerTask; row < end; ++row) {
      work(row);
    }
  });
}

const float* normalised(const Norm& norm,
                        const float* in,
                        const Product& shape,
                        const Resources& resources) {
  const auto dim = static_cast<std::size_t>(shape.linear.in);
  float* out = resources.scratch.normed(static_cast<std::size_t>(shape.rows) * dim);
  for_each_row(resources.team, shape.rows, [&](int row) {
    const std::size_t at = static_cast<std::size_t>(row) * dim;
    normalise(norm, in + at, out + at, shape.linear.in);
  });
  return out;
}

// Where the heads of one token go.
class HeadTargets final : public TileSink {
 public:
  explicit HeadTargets(const QkvArgs& args) : args_(args) {}

  [[nodiscard]] std::int32_t position(int row) const {
    return args_.cursor != nullptr ? args_.cursor->position : args_.position + row % args_.tokens;
  }

  // Head `head` of q, then of k, then of v, of token row `row` of [batch, tokens].
  [[nodiscard]] float* of(int row, int head) const {
    const HeadShape& shape = args_.shape;
    const auto dim = static_cast<std::int64_t>(shape.head_dim);
    if (head < shape.heads) {
      return static_cast<float*>(args_.query) +
             (static_cast<std::int64_t>(row) * shape.heads + head) * dim;
    }
    const bool is_key = head < shape.heads + shape.kv_heads;
    const int kv_head = head - shape.heads - (is_key ? 0 : shape.kv_heads);
    const int batch = row / args_.tokens;
    float* side = static_cast<float*>(is_key ? args_.kv.keys : args_.kv.values) +
                  batch * args_.kv.batch_stride;
    if (args_.heads != nullptr) {
      const HeadCursor& cursor = args_.heads[batch * shape.kv_heads + kv_head];
      return side + (std::int64_t{cursor.start} + cursor.slot) * dim;
    }
    const std::int64_t slot = args_.cursor != nullptr ? 0 : args_.position + row % args_.tokens;
    return side + kv_head * args_.kv.head_stride + slot * dim;
  }

  void take(const Tile& tile) const override {
    const int dim = args_.shape.head_dim;
    for (int row = 0; row < tile.rows; ++row) {
      for (int done = 0; done < tile.features;) {
        const int feature = tile.feature + done;
        const int count = std::min(dim - feature % dim, tile.features - done);
        std::memcpy(of(tile.row + row, feature / dim) + feature % dim,
                    tile.of_row(row) + done,
                    static_cast<std::size_t>(count) * sizeof(float));
        done += count;
      }
    }
  }

 private:
  const QkvArgs& args_;
};

// Turns one head to `position`; `out` may be `in`.
void rotate(const Rope& rope, const float* in, float* out, std::int32_t position) {
  const int half = rope.rotary_dim / 2;
  const float* table = rope.table + static_cast<std::ptrdiff_t>(position) * rope.rotary_dim;
  for (int i = 0; i < half; ++i) {
    const float cosine = table[2 * i];
    const float sine = table[2 * i + 1];
    const float low = in[i];
    const float high = in[i + half];
    out[i] = low * cosine - high * sine;
    out[i + half] = high * cosine + low * sine;
  }
}

void finish_query(const QkvArgs& args, float* query, std::ptrdiff_t head, std::int32_t position) {
  const int dim = args.shape.head_dim;
  if (args.query_norm != nullptr) {
    normalise({.weight = args.query_norm, .eps = args.norm.eps}, query, query, dim);
  }
  if (args.sink_query != nullptr) {
    float* sink_query = static_cast<float*>(args.sink_query) + head * dim;
    std::memcpy(sink_query, query, static_cast<std::size_t>(dim) * sizeof(float));
    const std::int32_t from = args.cursor != nullptr ? args.cursor->sink_position
                                                     : std::min(position, args.last_sink_position);
    rotate(args.rope, sink_query, sink_query, from);
  }
  rotate(args.rope, query, query, position);
}

void finish_key(const QkvArgs& args, float* key, std::int32_t position) {
  if (args.key_norm != nullptr) {
    normalise({.weight = args.key_norm, .eps = args.norm.eps}, key, key, args.shape.head_dim);
  }
  rotate(args.rope, key, key, position);
}

void check(const QkvArgs& args) {
  const HeadShape& shape = args.shape;
  KVG_EXPECT(args.kv.dtype == DType::kF32, "the cpu keeps keys and values in f32");
  KVG_EXPECT(args.linear.out == (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
             "the projection yields q, k and v of every head");
  KVG_EXPECT(args.cursor == nullptr || args.tokens == 1, "a step has one token a row");
  KVG_EXPECT(args.heads == nullptr || args.cursor != nullptr, "only a step has head cursors");
}

// Writes activation(values) to out [rows, features].
class ActivationSink final : public TileSink {
 public:
  ActivationSink(const ProjectArgs& args, int features)
      : activation_(args.activation), out_(static_cast<float*>(args.out)), features_(features) {}

  void take(const Tile& tile) const override {
    const auto count = static_cast<std::size_t>(tile.features);
    for (int row = 0; row < tile.rows; ++row) {
      float* values = tile.of_row(row);
      float* target = out_ + static_cast<std::ptrdiff_t>(tile.row + row) * features_ + tile.feature;
      if (is_gated(activation_)) {
        activate_gated(activation_, target, {.gate = values, .up = values + count}, count);
      } else {
        activate(activation_, values, count);
        std::memcpy(target, values, count * sizeof(float));
      }
    }
  }

 private:
  Activation activation_;
  float* out_;
  int features_;
};

// Adds to inout [rows, features].
class AddSink final : public TileSink {
 public:
  explicit AddSink(const AddProjectArgs& args) : args_(args) {}

  void take(const Tile& tile) const override {
    for (int row = 0; row < tile.rows; ++row) {
      const float* values = tile.of_row(row);
      float* target = args_.inout + static_cast<std::ptrdiff_t>(tile.row + row) * args_.linear.out +
                      tile.feature;
      for (int i = 0; i < tile.features; ++i) {
        target[i] += values[i];
      }
    }
  }

 private:
  const AddProjectArgs& args_;
};

}  // namespace

void project_qkv(const QkvArgs& args, const Resources& resources) {
  check(args);
  const int rows = args.batch * args.tokens;
  Product product = {.linear = args.linear, .rows = rows};
  product.in = normalised(args.norm, args.in, product, resources);
  const HeadTargets targets(args);
  multiply(product, resources, targets);

  for_each_row(resources.team, rows, [&](int row) {
    const std::int32_t position = targets.position(row);
    for (int head = 0; head < args.shape.heads; ++head) {
      const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(row) * args.shape.heads + head;
      finish_query(args, targets.of(row, head), index, position);
    }
    for (int head = 0; head < args.shape.kv_heads; ++head) {
      finish_key(args, targets.of(row, args.shape.heads + head), position);
    }
  });
}

void project(const ProjectArgs& args, const Resources& resources) {
  KVG_EXPECT(args.out_dtype == DType::kF32, "the cpu computes in f32");
  Product product = {.linear = args.linear, .rows = args.rows, .gated = is_gated(args.activation)};
  product.in = normalised(args.norm, args.in, product, resources);
  multiply(product, resources, ActivationSink(args, product.features()));
}

void add_project(const AddProjectArgs& args, const Resources& resources) {
  const Product product = {
      .in = static_cast<const float*>(args.in), .linear = args.linear, .rows = args.rows};
  multiply(product, resources, AddSink(args));
}

}  // namespace kvg::kernels::cpu
