#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/backend.h"

namespace kvg::model {

/// Names of a family's tensors. '#' stands for the layer's index; ".weight" and ".bias" are put
/// behind. Empty: the family has no such part.
struct TensorNames {
  std::string_view embedding;
  std::string_view final_norm;
  std::string_view head;
  std::string_view head_alias{};  ///< another name under which the head is saved
  std::string_view attention_norm;
  std::string_view fused_qkv{};  ///< rows by head: q, k, v of head 0, then of head 1, ...
  std::string_view query{};
  std::string_view key{};
  std::string_view value{};
  std::string_view query_norm{};
  std::string_view key_norm{};
  std::string_view attention_out;
  std::string_view mlp_norm;
  std::string_view gate{};
  std::string_view up;
  std::string_view down;
};

/// A yes or no that config.json decides, or the family alone.
struct Setting {
  std::string_view key{};  ///< in config.json; empty: fixed
  bool value = false;      ///< when the key is absent
};

/// How config.json tells a sliding window.
enum class WindowRule : std::uint8_t {
  kNone,    ///< the family has none
  kAlways,  ///< `sliding_window` holds unless it is null
  kOptIn    ///< it holds for some layers when `use_sliding_window` says so
};

/// One row of the table of families: which tensor plays which part, and what an absent key of
/// config.json means. Sizes that change the shapes have no default.
struct Family {
  std::string_view model_type;
  std::string_view architecture;
  TensorNames names;
  kernels::NormKind norm = kernels::NormKind::kRms;
  std::string_view norm_eps_key = "rms_norm_eps";
  double norm_eps = 1e-6;
  std::string_view hidden_act = "silu";
  Setting qkv_bias{};
  Setting output_bias{};
  Setting mlp_bias{};
  Setting parallel_residual{};
  WindowRule window = WindowRule::kNone;
  int sliding_window = 4096;
  int max_window_layers = 28;
  int max_positions = 2048;
  int kv_heads = 0;  ///< 0: as many as heads
  int head_dim = 0;  ///< 0: hidden / heads
  std::string_view rope_theta_key = "rope_theta";
  std::string_view partial_rotary_key = "partial_rotary_factor";
  double partial_rotary = 1.0;

  [[nodiscard]] constexpr bool gated() const { return !names.gate.empty(); }
  [[nodiscard]] constexpr bool query_key_norm() const { return !names.query_norm.empty(); }
};

/// Every family, in the order of messages.
[[nodiscard]] std::span<const Family* const> families();

/// The names that Llama gave and that Mistral and Qwen kept.
inline constexpr TensorNames kLlamaNames{
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.#.input_layernorm",
    .query = "model.layers.#.self_attn.q_proj",
    .key = "model.layers.#.self_attn.k_proj",
    .value = "model.layers.#.self_attn.v_proj",
    .attention_out = "model.layers.#.self_attn.o_proj",
    .mlp_norm = "model.layers.#.post_attention_layernorm",
    .gate = "model.layers.#.mlp.gate_proj",
    .up = "model.layers.#.mlp.up_proj",
    .down = "model.layers.#.mlp.down_proj",
};

extern const Family kLlama;
extern const Family kMistral;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kGptNeox;

}  // namespace kvg::model
