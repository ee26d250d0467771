#pragma once

#include <cstdint>

#include <cuda.h>

namespace kvg::kernels {

/// Up to 4 dimensions of 16-bit elements in global memory, the contiguous one first.
struct TensorShape {
  const void* data = nullptr;  ///< aligned to 16 bytes
  std::uint64_t sizes[4] = {};
  std::uint64_t strides[3] = {};  ///< bytes, multiples of 16, of dimensions 1 to 3
  std::uint32_t box[4] = {};      ///< what one copy moves; the first is 64, a swizzled row
};

/// What the copy unit needs to know of a tensor. What lies outside reads as zero and is not
/// written.
[[nodiscard]] CUtensorMap map_tensor(const TensorShape& shape);

}  // namespace kvg::kernels
