#pragma once

#include <cstddef>
#include <vector>

#include "kernels/backend.h"
#include "model/config.h"

namespace kvg::model {

struct LayerWeights {
  kernels::Norm attention_norm{};
  kernels::Linear qkv{};              ///< [(heads + 2 kv_heads) * head_dim, hidden]: q, k, v
  const float* query_norm = nullptr;  ///< [head_dim], or null
  const float* key_norm = nullptr;    ///< [head_dim], or null
  kernels::Linear attention_out{};    ///< [hidden, heads * head_dim]
  kernels::Norm mlp_norm{};
  kernels::Linear up{};    ///< [intermediate, hidden], or gate over up: [2 intermediate, hidden]
  kernels::Linear down{};  ///< [hidden, intermediate]
};

/// A model's weights in a backend's pool (class kWeights). Matrices keep the checkpoint's 16-bit
/// form, or are widened when the backend computes in f32 on CUDA; norms and biases are f32.
struct Weights {
  kernels::Linear embedding;  ///< [vocab, hidden]
  std::vector<LayerWeights> layers;
  kernels::Norm final_norm;
  kernels::Linear head;  ///< [vocab, hidden]; the embedding when tied
  Buffer storage;
};

}  // namespace kvg::model
