#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace kvg::model {

struct Family;

/// The architecture of a model, as its config.json gives it; checked, in our own words.
struct Config {
  std::string name;                ///< the folder's or shape's name, for messages and records
  const Family* family = nullptr;  ///< never null
  int layers = 0;
  int hidden = 0;
  kernels::HeadShape heads;
  int intermediate = 0;
  int vocab = 0;
  int max_positions = 0;
  kernels::NormKind norm = kernels::NormKind::kRms;
  float norm_eps = 1e-5F;
  kernels::Activation activation = kernels::Activation::kGatedSilu;
  bool parallel_residual = false;  ///< attention and MLP both read the layer's input
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;  ///< bias of the attention's output projection
  bool mlp_bias = false;
  bool query_key_norm = false;
  int rotary_dim = 0;
  std::vector<double> inverse_frequencies;  ///< [rotary_dim / 2], scaling included
  double rope_attention_factor = 1.0;       ///< multiplies cosine and sine
  std::optional<int> sliding_window;        ///< attention sees at most that many tokens
  DType dtype = DType::kF32;                ///< of the checkpoint's weights
};

/// Reads config.json. Throws DataError naming the file, the key and what is supported.
[[nodiscard]] Config load_config(const std::filesystem::path& file);

/// The rotation table of Rope: [positions, rotary_dim / 2, 2], computed in double precision.
[[nodiscard]] std::vector<float> rope_table(const Config& config, std::int32_t positions);

}  // namespace kvg::model
