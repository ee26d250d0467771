#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cursor.h"

namespace kvg::kernels {

/// Unquantised keys and values of one layer: a prompt's, with slot = position, or a step's newest.
/// The entry of (batch row b, kv_head g, slot s) starts at element b * batch_stride +
/// g * head_stride + s * head_dim of both arrays.
struct KvView {
  void* keys = nullptr;
  void* values = nullptr;
  DType dtype = DType::kF32;
  std::int64_t batch_stride = 0;
  std::int64_t head_stride = 0;
};

/// What a token at position t sees: of positions 0 to t the first `sinks`, and those above
/// t - `window`.
struct Visibility {
  std::int32_t sinks = 0;
  std::int32_t window = kUnlimited;  ///< at least 1

  [[nodiscard]] constexpr bool is_everything() const { return window == kUnlimited; }
  /// Of a cache that holds just that: the position, counted in its entries, of the newest once it
  /// is full.
  [[nodiscard]] constexpr std::int32_t last_position() const {
    return is_everything() ? kUnlimited : sinks + window - 1;
  }
  /// The first position that is no sink and that a token at `position` sees.
  [[nodiscard]] constexpr std::int32_t first_of(std::int32_t position) const {
    const std::int32_t first = position < window ? 0 : position - window + 1;
    return first < sinks ? sinks : first;
  }
};

/// The heads of an attention layer.
struct HeadShape {
  int heads = 0;  ///< query heads, a multiple of kv_heads
  int kv_heads = 0;
  int head_dim = 0;
};

}  // namespace kvg::kernels
