#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

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

/// The heads of an attention layer.
struct HeadShape {
  int heads = 0;  ///< query heads, a multiple of kv_heads
  int kv_heads = 0;
  int head_dim = 0;
};

}  // namespace kvg::kernels
