#pragma once

#include <cstddef>

#include "kernels/core/dtype.h"

namespace kvg::kernels::cpu {

/// Most vectors that one pass over a matrix multiplies.
inline constexpr int kMatvecVectors = 8;

/// out[v * out_stride + i] = row i of the matrix . vector v. Each product is summed in the same
/// order whatever the counts are.
struct MatvecArgs {
  float* out = nullptr;  ///< [vectors, out_stride], of which `rows` are written
  std::size_t out_stride = 0;
  const void* matrix = nullptr;  ///< [rows, in], `dtype`
  DType dtype = DType::kF32;
  int rows = 0;
  std::size_t in = 0;
  const float* vectors = nullptr;  ///< [vector_count, in]
  int vector_count = 0;            ///< 1 .. kMatvecVectors
};

void matvec(const MatvecArgs& args);

/// Widens `count` elements to f32.
void widen(float* out, const void* in, DType dtype, std::size_t count);

}  // namespace kvg::kernels::cpu
