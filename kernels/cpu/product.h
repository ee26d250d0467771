#pragma once

#include <cstddef>

#include "kernels/backend.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/team.h"

namespace kvg::kernels::cpu {

/// What every operation needs besides its arguments.
struct Resources {
  const Scratch& scratch;
  Team& team;
};

/// in [rows, linear.in] times W^T, one feature a row of W, or one a pair of rows when gated.
struct Product {
  const float* in = nullptr;
  const Linear& linear;
  int rows = 0;
  bool gated = false;

  [[nodiscard]] int features() const { return gated ? linear.out / 2 : linear.out; }
};

/// A finished piece of a product, bias included: rows [row, row + rows), features [feature,
/// feature + features).
struct Tile {
  int row = 0;
  int rows = 0;
  int feature = 0;
  int features = 0;
  float* values = nullptr;  ///< [rows, stride]
  std::size_t stride = 0;   ///< gated: the gate's features, then as many of `up`

  [[nodiscard]] float* of_row(int index) const {
    return values + static_cast<std::size_t>(index) * stride;
  }
};

/// Takes the tiles of a product as they are done, from several threads at once.
class TileSink {
 public:
  TileSink() = default;
  TileSink(const TileSink&) = delete;
  TileSink& operator=(const TileSink&) = delete;
  virtual ~TileSink() = default;
  virtual void take(const Tile& tile) const = 0;
};

/// Few rows go through matrix-vector products that widen 16-bit weights in registers, many through
/// sgemm over panels of widened weights.
void multiply(const Product& product, const Resources& resources, const TileSink& sink);

}  // namespace kvg::kernels::cpu
