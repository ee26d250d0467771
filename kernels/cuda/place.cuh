#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace kvg::kernels {

/// What the cursor or the arguments say about one input row.
struct RowPlace {
  int batch = 0;
  std::int32_t position = 0;
  std::int32_t slot = 0;  ///< of a row without head cursors
  std::int32_t sink_position = 0;
};

/// A pair of channels, turned by an angle(); to the last bit the same wherever it is inlined.
__device__ inline float2 turned_by(const float2& angle, const float2& pair) {
  return {fmaf(pair.x, angle.x, -__fmul_rn(pair.y, angle.y)),
          fmaf(pair.y, angle.x, __fmul_rn(pair.x, angle.y))};
}

/// Where the heads of a QKV projection go: queries to their arrays, keys and values to their slots.
template <typename T>
struct QkvPlaces {
  HeadShape shape;
  Rope rope;
  const StepCursor* cursor;
  const HeadCursor* heads;
  std::int32_t first_position;
  std::int32_t last_sink_position;
  int tokens;
  T* query;
  T* sink_query;
  T* keys;
  T* values;
  std::int64_t batch_stride;
  std::int64_t head_stride;

  __device__ RowPlace row_place(int row) const {
    const int batch = row / tokens;
    if (cursor != nullptr) {
      return {batch, cursor->position, 0, cursor->sink_position};
    }
    const std::int32_t position = first_position + row % tokens;
    return {batch, position, position, min(position, last_sink_position)};
  }

  __device__ T* query_head(T* queries, int row, int head) const {
    return queries + (static_cast<std::int64_t>(row) * shape.heads + head) * shape.head_dim;
  }

  /// Where channel 0 of a head of this row goes; heads count queries, then keys, then values.
  __device__ T* head(const RowPlace& place, int row, int index) const {
    if (index < shape.heads) {
      return query_head(query, row, index);
    }
    const bool is_key = index < shape.heads + shape.kv_heads;
    const int kv_head = index - shape.heads - (is_key ? 0 : shape.kv_heads);
    T* side = (is_key ? keys : values) + place.batch * batch_stride;
    if (heads != nullptr) {
      const HeadCursor& own = heads[place.batch * shape.kv_heads + kv_head];
      return side + (static_cast<std::int64_t>(own.start) + own.slot) * shape.head_dim;
    }
    return side + kv_head * head_stride + static_cast<std::int64_t>(place.slot) * shape.head_dim;
  }

  /// Cosine and sine that turn the pair of channels (channel, channel + rotary_dim / 2) to
  /// `position`; pairs beyond rotary_dim stay.
  __device__ float2 angle(std::int32_t position, int channel) const {
    const int turned = rope.rotary_dim / 2;
    if (channel >= turned) {
      return {1.0F, 0.0F};
    }
    return reinterpret_cast<const float2*>(
        rope.table)[static_cast<std::int64_t>(position) * turned + channel];
  }
};

template <typename T>
QkvPlaces<T> make_places(const QkvArgs& args) {
  return {.shape = args.shape,
          .rope = args.rope,
          .cursor = args.cursor,
          .heads = args.heads,
          .first_position = args.position,
          .last_sink_position = args.last_sink_position,
          .tokens = args.tokens,
          .query = static_cast<T*>(args.query),
          .sink_query = static_cast<T*>(args.sink_query),
          .keys = static_cast<T*>(args.kv.keys),
          .values = static_cast<T*>(args.kv.values),
          .batch_stride = args.kv.batch_stride,
          .head_stride = args.kv.head_stride};
}

}  // namespace kvg::kernels
