#include "model/families/families.h"

namespace kvg::model {

constinit const Family kLlama{
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .names = kLlamaNames,
    .qkv_bias = {.key = "attention_bias"},
    .output_bias = {.key = "attention_bias"},
    .mlp_bias = {.key = "mlp_bias"},
};

}  // namespace kvg::model
