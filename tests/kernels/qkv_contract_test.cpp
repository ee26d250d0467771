#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernels/contract_fixture.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::Values;

constexpr int kPositions = 64;

struct QkvCase {
  HeadShape shape;
  int hidden = 64;
  int rotary_dim = 64;
  int batch = 1;
  int tokens = 1;
  int position = 0;  ///< of the first token; a step's when `sink_position` is not negative
  int slot = 0;      ///< of a step
  int sink_position = -1;
  int last_sink_position = -1;  ///< of a prompt that wants sink queries
  bool into_slots = true;       ///< of a step: straight into the cache, else to slot 0
  bool bias = false;
  bool head_norms = false;
  NormKind norm = NormKind::kRms;

  [[nodiscard]] bool is_step() const { return sink_position >= 0; }
  [[nodiscard]] bool looks_at_sinks() const { return is_step() || last_sink_position >= 0; }
  [[nodiscard]] int sink_position_of(int own) const {
    return is_step() ? sink_position : std::min(own, last_sink_position);
  }
  [[nodiscard]] bool in_cache() const { return is_step() && into_slots; }
  [[nodiscard]] int slots() const { return is_step() ? slot + 2 : position + tokens + 1; }
  [[nodiscard]] int heads_in_all() const { return shape.heads + 2 * shape.kv_heads; }
};

// What project_qkv() leaves behind.
struct QkvResult {
  Values query;
  Values sink_query;
  Values keys;
  Values values;
};

// Marks a slot that nothing may write.
constexpr double kUntouched = 7.0;

struct QkvWeights {
  testing_support::Matrix matrix;
  testing_support::NormWeights norm;
  Values query_norm;
  Values key_norm;
  testing_support::RopeTable rope;
  Values in;
};

QkvWeights weights_of(const QkvCase& params, DType weights) {
  const auto dim = static_cast<std::size_t>(params.shape.head_dim);
  const int row_count = params.batch * params.tokens;
  const auto rows = static_cast<std::size_t>(row_count);
  return {.matrix = testing_support::random_matrix(
              params.heads_in_all() * params.shape.head_dim, params.hidden, params.bias, weights),
          .norm = testing_support::random_norm(params.norm, params.hidden),
          .query_norm = testing_support::random_values(dim, 21),
          .key_norm = testing_support::random_values(dim, 22),
          .rope = testing_support::rope_table(kPositions, params.rotary_dim),
          .in = testing_support::random_values(rows * static_cast<std::size_t>(params.hidden), 23)};
}

Values head_normed(const QkvCase& params, const Values& head, const Values& weight) {
  return params.head_norms ? testing_support::normalised(head, {.weight = weight, .bias = {}})
                           : head;
}

void put(Values& to, std::size_t at, const Values& from) {
  std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
}

std::size_t entry_at(const QkvCase& params, int row, int kv_head, int slot) {
  const int index = (row * params.shape.kv_heads + kv_head) * params.slots() + slot;
  return static_cast<std::size_t>(index) * static_cast<std::size_t>(params.shape.head_dim);
}

// Every head's slots one after the other, as entry_at() has them.
std::vector<HeadCursor> cursors(const QkvCase& params) {
  std::vector<HeadCursor> heads;
  for (int head = 0; head < params.batch * params.shape.kv_heads; ++head) {
    heads.push_back({.start = head % params.shape.kv_heads * params.slots(),
                     .entries = params.slot + 1,
                     .slot = params.slot});
  }
  return heads;
}

QkvResult expected(const QkvCase& params, const QkvWeights& weights) {
  const HeadShape& shape = params.shape;
  const Values all = testing_support::multiplied(
      testing_support::normalised(weights.in, weights.norm), weights.matrix);
  const std::size_t kv_count = entry_at(params, params.batch, 0, 0);
  QkvResult want = {.query = {},
                    .sink_query = {},
                    .keys = Values(kv_count, kUntouched),
                    .values = Values(kv_count, kUntouched)};
  for (int index = 0; index < params.batch * params.tokens; ++index) {
    const int position = params.position + index % params.tokens;
    const int slot = params.in_cache() ? params.slot : params.is_step() ? 0 : position;
    const auto head = [&](int number) {
      const auto at =
          all.begin() +
          static_cast<std::ptrdiff_t>(index * params.heads_in_all() + number) * shape.head_dim;
      return Values(at, at + shape.head_dim);
    };
    for (int h = 0; h < shape.heads; ++h) {
      const Values plain = head_normed(params, head(h), weights.query_norm);
      const Values query = testing_support::rotated(plain, weights.rope, position);
      want.query.insert(want.query.end(), query.begin(), query.end());
      if (params.looks_at_sinks()) {
        const Values sink =
            testing_support::rotated(plain, weights.rope, params.sink_position_of(position));
        want.sink_query.insert(want.sink_query.end(), sink.begin(), sink.end());
      }
    }
    for (int g = 0; g < shape.kv_heads; ++g) {
      const std::size_t at = entry_at(params, index / params.tokens, g, slot);
      const Values key = head_normed(params, head(shape.heads + g), weights.key_norm);
      put(want.keys, at, testing_support::rotated(key, weights.rope, position));
      put(want.values, at, head(shape.heads + shape.kv_heads + g));
    }
  }
  return want;
}

class QkvContract : public BackendContract {
 protected:
  QkvResult run(const QkvCase& params, const QkvWeights& weights, DType weight_dtype) {
    Backend& device = backend();
    const testing_support::DeviceMatrix matrix(device, weights.matrix, weight_dtype);
    const testing_support::DeviceNorm norm(device, weights.norm);
    const DeviceArray query_norm(device, weights.query_norm, DType::kF32);
    const DeviceArray key_norm(device, weights.key_norm, DType::kF32);
    const DeviceArray table(device, weights.rope.table, DType::kF32);
    const DeviceArray in(device, weights.in, DType::kF32);
    const int rows = params.batch * params.tokens;
    const std::size_t query_count = static_cast<std::size_t>(rows) *
                                    static_cast<std::size_t>(params.shape.heads) *
                                    static_cast<std::size_t>(params.shape.head_dim);
    const DeviceArray query(device, query_count, compute());
    const DeviceArray sink_query(device, params.looks_at_sinks() ? query_count : 0, compute());
    const Values untouched(entry_at(params, params.batch, 0, 0), kUntouched);
    const DeviceArray keys(device, untouched, compute());
    const DeviceArray values(device, untouched, compute());
    const testing_support::SharedArray<StepCursor> cursor(
        device, {{.position = params.position, .sink_position = params.sink_position}});
    const testing_support::SharedArray<HeadCursor> heads(device, cursors(params));
    const auto workspace = device.make_workspace({.batch = params.batch,
                                                  .rows = rows,
                                                  .hidden = params.hidden,
                                                  .features = weights.matrix.out,
                                                  .heads = params.shape,
                                                  .entries = params.slots()});
    const std::int64_t head_stride = std::int64_t{params.slots()} * params.shape.head_dim;
    device.project_qkv({.in = in.floats(),
                        .norm = norm.norm(),
                        .linear = matrix.linear(),
                        .query_norm = params.head_norms ? query_norm.floats() : nullptr,
                        .key_norm = params.head_norms ? key_norm.floats() : nullptr,
                        .rope = {.table = table.floats(), .rotary_dim = params.rotary_dim},
                        .shape = params.shape,
                        .batch = params.batch,
                        .tokens = params.tokens,
                        .cursor = params.is_step() ? cursor.data() : nullptr,
                        .position = params.is_step() ? 0 : params.position,
                        .query = query.data(),
                        .sink_query = params.looks_at_sinks() ? sink_query.data() : nullptr,
                        .last_sink_position = params.last_sink_position,
                        .kv = {.keys = keys.data(),
                               .values = values.data(),
                               .dtype = compute(),
                               .batch_stride = head_stride * params.shape.kv_heads,
                               .head_stride = params.in_cache() ? 0 : head_stride},
                        .heads = params.in_cache() ? heads.data() : nullptr});
    return {.query = query.read(),
            .sink_query = sink_query.read(),
            .keys = keys.read(),
            .values = values.read()};
  }

  void check(const QkvCase& params) {
    for (const DType weight_dtype : GetParam().weight_dtypes()) {
      const QkvWeights weights = weights_of(params, weight_dtype);
      const QkvResult want = expected(params, weights);
      const QkvResult got = run(params, weights, weight_dtype);
      const std::string what = "head_dim " + std::to_string(params.shape.head_dim) + ", tokens " +
                               std::to_string(params.tokens) + ", weights " +
                               std::string(name_of(weight_dtype));
      expect_close(got.query, want.query, "query, " + what);
      if (params.looks_at_sinks()) {
        expect_close(got.sink_query, want.sink_query, "sink query, " + what);
      }
      expect_close(got.keys, want.keys, "keys, " + what);
      expect_close(got.values, want.values, "values, " + what);
      expect_untouched(params, got.keys);
      expect_untouched(params, got.values);
    }
  }

 private:
  // The last slot is never written; the relative error alone might hide one element.
  static void expect_untouched(const QkvCase& params, const Values& stored) {
    const std::size_t at = entry_at(params, 0, 0, params.slots() - 1);
    for (int i = 0; i < params.shape.head_dim; ++i) {
      EXPECT_EQ(stored[at + static_cast<std::size_t>(i)], kUntouched);
    }
  }
};

TEST_P(QkvContract, Steps) {
  for (const int head_dim : {64, 80, 96, 128, 256}) {
    for (const int batch : {1, 3}) {
      check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = head_dim},
             .hidden = 96,
             .rotary_dim = head_dim,
             .batch = batch,
             .position = 41,
             .slot = 5,
             .sink_position = 9,
             .bias = batch == 3});
    }
  }
}

TEST_P(QkvContract, StepsBesideACache) {
  for (const int head_dim : {64, 128}) {
    check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = head_dim},
           .rotary_dim = head_dim,
           .batch = 3,
           .position = 41,
           .slot = 5,
           .sink_position = 9,
           .into_slots = false});
  }
}

TEST_P(QkvContract, Prompts) {
  for (const int head_dim : {64, 80, 96, 128, 256}) {
    for (const int tokens : {1, 5, 37}) {
      check({.shape = {.heads = 7, .kv_heads = 1, .head_dim = head_dim},
             .hidden = 64,
             .rotary_dim = head_dim,
             .batch = tokens == 5 ? 3 : 1,
             .tokens = tokens,
             .position = tokens == 1 ? 0 : 11});
    }
  }
}

TEST_P(QkvContract, PromptsThatLookAtSinksFromACache) {
  // Few rows and many take different paths.
  for (const int tokens : {3, 37}) {
    check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
           .batch = 2,
           .tokens = tokens,
           .position = 8,
           .last_sink_position = 9});
  }
  check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 128},
         .rotary_dim = 32,
         .tokens = 21,
         .last_sink_position = 4,
         .bias = true,
         .head_norms = true});
}

TEST_P(QkvContract, PartialRotaryWithBiasAndLayerNorm) {
  check({.shape = {.heads = 4, .kv_heads = 4, .head_dim = 64},
         .rotary_dim = 16,
         .tokens = 13,
         .bias = true,
         .norm = NormKind::kLayer});
  check({.shape = {.heads = 4, .kv_heads = 4, .head_dim = 80},
         .rotary_dim = 20,
         .position = 3,
         .slot = 1,
         .sink_position = 2,
         .bias = true,
         .norm = NormKind::kLayer});
}

TEST_P(QkvContract, NoRotaryAtAll) {
  check({.shape = {.heads = 2, .kv_heads = 1, .head_dim = 64}, .rotary_dim = 0, .tokens = 3});
}

TEST_P(QkvContract, QueryAndKeyNorms) {
  check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 128},
         .rotary_dim = 128,
         .tokens = 7,
         .head_norms = true});
  check({.shape = {.heads = 4, .kv_heads = 2, .head_dim = 64},
         .position = 60,
         .slot = 3,
         .sink_position = 4,
         .head_norms = true});
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         QkvContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
