#include "model/families/families.h"

namespace kvg::model {

constinit const Family kMistral{
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .names = kLlamaNames,
    .window = WindowRule::kAlways,
    .max_positions = 131072,
    .kv_heads = 8,
};

}  // namespace kvg::model
