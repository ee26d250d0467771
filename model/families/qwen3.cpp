#include "model/families/families.h"

namespace kvg::model {
namespace {

constexpr TensorNames names() {
  TensorNames names = kLlamaNames;
  names.query_norm = "model.layers.#.self_attn.q_norm";
  names.key_norm = "model.layers.#.self_attn.k_norm";
  return names;
}

}  // namespace

constinit const Family kQwen3{
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .names = names(),
    .qkv_bias = {.key = "attention_bias"},
    .output_bias = {.key = "attention_bias"},
    .window = WindowRule::kOptIn,
    .max_positions = 32768,
    .kv_heads = 32,
    .head_dim = 128,
};

}  // namespace kvg::model
