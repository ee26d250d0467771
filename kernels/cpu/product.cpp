#include "kernels/cpu/product.h"

#include <algorithm>
#include <cblas.h>

#include "kernels/cpu/matvec.h"

namespace kvg::kernels::cpu {
namespace {

// Features of a tile of few rows: a multiple of matvec's block, few enough to share out evenly.
constexpr int kFewRowsFeatures = 32;

const void* weight_row(const Linear& linear, int row) {
  return static_cast<const std::byte*>(linear.weight) + static_cast<std::size_t>(row) *
                                                            static_cast<std::size_t>(linear.in) *
                                                            size_of(linear.dtype);
}

void add_bias(const Product& product, const Tile& tile) {
  if (product.linear.bias == nullptr) {
    return;
  }
  for (int half = 0; half < (product.gated ? 2 : 1); ++half) {
    const float* bias = product.linear.bias + half * product.features() + tile.feature;
    for (int row = 0; row < tile.rows; ++row) {
      float* values = tile.of_row(row) + half * tile.features;
      for (int i = 0; i < tile.features; ++i) {
        values[i] += bias[i];
      }
    }
  }
}

// Rows [row, row + rows) of W into tile columns [column, ...), by matrix-vector products.
void multiply_few(const Product& product, const Tile& tile) {
  for (int half = 0; half < (product.gated ? 2 : 1); ++half) {
    matvec({.out = tile.values + half * tile.features,
            .out_stride = tile.stride,
            .matrix = weight_row(product.linear, half * product.features() + tile.feature),
            .dtype = product.linear.dtype,
            .rows = tile.features,
            .in = static_cast<std::size_t>(product.linear.in),
            .vectors = product.in,
            .vector_count = tile.rows});
  }
}

void few_rows(const Product& product, const Resources& resources, const TileSink& sink) {
  const int features = product.features();
  const int tiles = (features + kFewRowsFeatures - 1) / kFewRowsFeatures;
  resources.team.run(tiles, [&](int index, int) {
    alignas(64) float values[std::size_t{2} * kFewRowsFeatures * kFewRows];
    const int feature = index * kFewRowsFeatures;
    const int count = std::min(kFewRowsFeatures, features - feature);
    const Tile tile = {.row = 0,
                       .rows = product.rows,
                       .feature = feature,
                       .features = count,
                       .values = values,
                       .stride = static_cast<std::size_t>(count) * (product.gated ? 2 : 1)};
    multiply_few(product, tile);
    add_bias(product, tile);
    sink.take(tile);
  });
}

// The weights of a tile's features as f32, [features (twice when gated), in], in `panel` unless W
// has that form already and is not gated.
const float* widened(const Product& product, const Tile& tile, float* panel) {
  const auto in = static_cast<std::size_t>(product.linear.in);
  if (product.linear.dtype == DType::kF32 && !product.gated) {
    return static_cast<const float*>(weight_row(product.linear, tile.feature));
  }
  const std::size_t count = static_cast<std::size_t>(tile.features) * in;
  for (int half = 0; half < (product.gated ? 2 : 1); ++half) {
    widen(panel + static_cast<std::size_t>(half) * count,
          weight_row(product.linear, half * product.features() + tile.feature),
          product.linear.dtype,
          count);
  }
  return panel;
}

// tile.values [tile.rows, width] = rows of the product's input times the widened weights.
void multiply_many(const Product& product, const Tile& tile, const float* weights) {
  const int in = product.linear.in;
  const int width = static_cast<int>(tile.stride);
  cblas_sgemm(CblasRowMajor,
              CblasNoTrans,
              CblasTrans,
              tile.rows,
              width,
              in,
              1.0F,
              product.in + static_cast<std::size_t>(tile.row) * static_cast<std::size_t>(in),
              in,
              weights,
              in,
              0.0F,
              tile.values,
              width);
}

void many_rows(const Product& product, const Resources& resources, const TileSink& sink) {
  const int features = product.features();
  const int most = kTileFeatures / (product.gated ? 2 : 1);
  const int tiles = (features + most - 1) / most;
  const auto in = static_cast<std::size_t>(product.linear.in);
  // A panel is widened once for all rows where there are panels enough for every thread.
  const int row_blocks = (product.rows + kTileRows - 1) / kTileRows;
  const int row_groups = tiles >= 2 * resources.team.threads() ? 1 : row_blocks;
  const int group_rows = (row_blocks + row_groups - 1) / row_groups * kTileRows;
  float* scratch = resources.scratch.tiles(product_tile_floats(product.rows, in));
  resources.team.run(tiles * row_groups, [&](int index, int thread) {
    float* panel = scratch + static_cast<std::size_t>(thread) * resources.scratch.thread_stride();
    const int feature = index / row_groups * most;
    Tile tile = {.feature = feature, .features = std::min(most, features - feature)};
    tile.values = panel + in * kTileFeatures;
    tile.stride = static_cast<std::size_t>(tile.features) * (product.gated ? 2 : 1);
    const float* weights = widened(product, tile, panel);
    const int first = index % row_groups * group_rows;
    const int end = std::min(product.rows, first + group_rows);
    for (tile.row = first; tile.row < end; tile.row += kTileRows) {
      tile.rows = std::min(kTileRows, end - tile.row);
      multiply_many(product, tile, weights);
      add_bias(product, tile);
      sink.take(tile);
    }
  });
}

}  // namespace

void multiply(const Product& product, const Resources& resources, const TileSink& sink) {
  if (product.rows <= kFewRows) {
    few_rows(product, resources, sink);
  } else {
    many_rows(product, resources, sink);
  }
}

}  // namespace kvg::kernels::cpu
