#include "model/families/families.h"

namespace kvg::model {

constinit const Family kQwen2{
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .names = kLlamaNames,
    .qkv_bias = {.value = true},
    .window = WindowRule::kOptIn,
    .max_positions = 32768,
    .kv_heads = 32,
};

}  // namespace kvg::model
