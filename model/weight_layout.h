#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace kvg::model {

/// Which place in Weights a part fills.
enum class WeightRole : std::uint8_t {
  kEmbedding,
  kFinalNorm,
  kHead,
  kAttentionNorm,
  kQkv,
  kQueryNorm,
  kKeyNorm,
  kAttentionOut,
  kMlpNorm,
  kUp,
  kDown
};

/// One tensor of a checkpoint that goes into a part.
struct PartSource {
  std::string tensor;
  std::string alias{};  ///< another name of it; empty: none
  int rows = 0;
};

/// One array of a loaded model: tensors stacked by rows.
struct WeightPart {
  WeightRole role = WeightRole::kEmbedding;
  bool bias = false;
  bool vector = false;  ///< a norm's weight or a bias: f32, one column, shape [rows]
  int layer = 0;
  int rows = 0;
  int columns = 1;
  DType dtype = DType::kF32;
  std::size_t offset = 0;  ///< in Weights::storage, a multiple of 256
  std::vector<PartSource> sources{};
  bool by_head = false;  ///< the source's rows are q, k, v of head 0, then of head 1, ...

  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
  [[nodiscard]] std::size_t bytes() const { return count() * size_of(dtype); }
};

/// Every part of a model and where it lies. Both what is predicted and what is held come from here.
struct WeightLayout {
  std::vector<WeightPart> parts;
  std::size_t total = 0;  ///< bytes of the one buffer
};

[[nodiscard]] WeightLayout lay_out_weights(const Config& config, DType matrix_dtype);

/// Weights whose pointers lie in `storage` as the layout says.
[[nodiscard]] Weights bind_weights(const Config& config,
                                   const WeightLayout& layout,
                                   Buffer storage);

}  // namespace kvg::model
