#include "model/families/families.h"

namespace kvg::model {

constinit const Family kGptNeox{
    .model_type = "gpt_neox",
    .architecture = "GPTNeoXForCausalLM",
    .names =
        {
            .embedding = "gpt_neox.embed_in",
            .final_norm = "gpt_neox.final_layer_norm",
            .head = "embed_out",
            .head_alias = "lm_head",
            .attention_norm = "gpt_neox.layers.#.input_layernorm",
            .fused_qkv = "gpt_neox.layers.#.attention.query_key_value",
            .attention_out = "gpt_neox.layers.#.attention.dense",
            .mlp_norm = "gpt_neox.layers.#.post_attention_layernorm",
            .up = "gpt_neox.layers.#.mlp.dense_h_to_4h",
            .down = "gpt_neox.layers.#.mlp.dense_4h_to_h",
        },
    .norm = kernels::NormKind::kLayer,
    .norm_eps_key = "layer_norm_eps",
    .norm_eps = 1e-5,
    .hidden_act = "gelu",
    .qkv_bias = {.key = "attention_bias", .value = true},
    .output_bias = {.key = "attention_bias", .value = true},
    .mlp_bias = {.value = true},
    .parallel_residual = {.key = "use_parallel_residual", .value = true},
    .rope_theta_key = "rotary_emb_base",
    .partial_rotary_key = "rotary_pct",
    .partial_rotary = 0.25,
};

}  // namespace kvg::model
