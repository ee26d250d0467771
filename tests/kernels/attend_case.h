#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/kernels/contract_fixture.h"

namespace kvg::kernels {

/// A step's attention over a cache of random entries.
struct AttendCase {
  HeadShape shape;
  int batch = 1;
  std::int32_t entries = 1;
  std::int64_t capacity = 1;
  int sinks = 0;
  std::uint32_t others = 0;  ///< seeds the rows after the first

  [[nodiscard]] std::string text() const {
    return "heads " + std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " x " +
           std::to_string(shape.head_dim) + ", batch " + std::to_string(batch) + ", entries " +
           std::to_string(entries) + " of " + std::to_string(capacity) + ", sinks " +
           std::to_string(sinks);
  }
  [[nodiscard]] std::size_t width() const {
    return static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(shape.head_dim);
  }
  [[nodiscard]] std::size_t query_count() const {
    return static_cast<std::size_t>(batch) * width();
  }
  [[nodiscard]] double scale() const { return 1.0 / std::sqrt(shape.head_dim); }
  [[nodiscard]] WorkspaceShape workspace() const {
    return {.batch = batch,
            .rows = batch,
            .hidden = static_cast<int>(width()),
            .features = static_cast<int>(width()),
            .heads = shape,
            .entries = capacity};
  }
};

/// Entries laid out as [batch, kv_heads, slots, head_dim], free slots NaN, so that reading one
/// shows.
class CacheData {
 public:
  CacheData(Backend& backend, const AttendCase& params, std::uint32_t seed)
      : case_(params),
        keys_(spread(backend, seed)),
        values_(spread(backend, seed + 1)),
        key_array_(backend, keys_, backend.compute_dtype()),
        value_array_(backend, values_, backend.compute_dtype()),
        heads_(backend, cursors()) {}

  [[nodiscard]] KvView view() const {
    const std::int64_t head_stride = case_.capacity * case_.shape.head_dim;
    return {.keys = key_array_.data(),
            .values = value_array_.data(),
            .dtype = key_array_.dtype(),
            .batch_stride = head_stride * case_.shape.kv_heads,
            .head_stride = head_stride};
  }
  /// The same as a layer of a cache.
  [[nodiscard]] StoredView stored() const {
    const StoredSide side = {.form = native_form(key_array_.dtype()),
                             .channels = case_.shape.head_dim};
    StoredView layer = {.keys = side,
                        .values = side,
                        .heads = heads_.data(),
                        .slots = case_.capacity * case_.shape.kv_heads,
                        .capacity = case_.capacity};
    layer.keys.codes = key_array_.data();
    layer.values.codes = value_array_.data();
    return layer;
  }
  /// [entries, head_dim] of one kv_head of one row.
  [[nodiscard]] testing_support::Values keys(int row, int kv_head) const {
    return filled(keys_, row, kv_head);
  }
  [[nodiscard]] testing_support::Values values(int row, int kv_head) const {
    return filled(values_, row, kv_head);
  }

 private:
  [[nodiscard]] std::vector<HeadCursor> cursors() const {
    std::vector<HeadCursor> heads;
    for (int head = 0; head < case_.batch * case_.shape.kv_heads; ++head) {
      const std::int64_t start = head % case_.shape.kv_heads * case_.capacity;
      heads.push_back({.start = static_cast<std::int32_t>(start),
                       .entries = case_.entries,
                       .slot = case_.entries - 1});
    }
    return heads;
  }
  [[nodiscard]] std::size_t head_at(int row, int kv_head) const {
    return static_cast<std::size_t>(row * case_.shape.kv_heads + kv_head) *
           static_cast<std::size_t>(case_.capacity) *
           static_cast<std::size_t>(case_.shape.head_dim);
  }
  [[nodiscard]] std::size_t filled_count() const {
    return static_cast<std::size_t>(case_.entries) * static_cast<std::size_t>(case_.shape.head_dim);
  }
  // Equal entries whatever the capacity is.
  [[nodiscard]] testing_support::Values spread(const Backend& backend, std::uint32_t seed) const {
    testing_support::Values all(head_at(case_.batch, 0), std::nan(""));
    for (int row = 0; row < case_.batch; ++row) {
      for (int kv_head = 0; kv_head < case_.shape.kv_heads; ++kv_head) {
        const auto index = static_cast<std::uint32_t>(row * case_.shape.kv_heads + kv_head);
        const testing_support::Values entries = testing_support::rounded(
            testing_support::random_values(filled_count(),
                                           seed + 10 * index + (row > 0 ? case_.others : 0)),
            backend.compute_dtype());
        std::copy(entries.begin(),
                  entries.end(),
                  all.begin() + static_cast<std::ptrdiff_t>(head_at(row, kv_head)));
      }
    }
    return all;
  }
  [[nodiscard]] testing_support::Values filled(const testing_support::Values& all,
                                               int row,
                                               int kv_head) const {
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(head_at(row, kv_head));
    return {at, at + static_cast<std::ptrdiff_t>(filled_count())};
  }

  AttendCase case_;
  testing_support::Values keys_;
  testing_support::Values values_;
  testing_support::DeviceArray key_array_;
  testing_support::DeviceArray value_array_;
  testing_support::SharedArray<HeadCursor> heads_;
};

/// Runs the step; `sink_query` may be null.
inline testing_support::DeviceArray attend(Backend& backend,
                                           const AttendCase& params,
                                           const CacheData& cache,
                                           const testing_support::DeviceArray* const queries[2]) {
  testing_support::DeviceArray out(backend, params.query_count(), backend.compute_dtype());
  const auto workspace = backend.make_workspace(params.workspace());
  backend.attend({.out = out.data(),
                  .query = queries[0]->data(),
                  .sink_query = queries[1] == nullptr ? nullptr : queries[1]->data(),
                  .sinks = params.sinks,
                  .kv = cache.stored(),
                  .shape = params.shape,
                  .batch = params.batch,
                  .scale = static_cast<float>(params.scale())});
  backend.synchronize();
  return out;
}

}  // namespace kvg::kernels
