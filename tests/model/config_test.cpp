#include "model/config.h"

#include <cmath>
#include <gtest/gtest.h>

#include "model/families/families.h"
#include "tests/model/model_files.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using nlohmann::json;
using testing_support::expect_throw;
using testing_support::TempFolder;

json base(std::string_view type) {
  return {{"model_type", type},
          {"hidden_size", 256},
          {"intermediate_size", 512},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 8},
          {"vocab_size", 1000}};
}

json with(json object, const json& changes) {
  object.update(changes);
  return object;
}

Config load(const json& object) {
  TempFolder folder;
  return load_config(folder.write("config.json", object.dump()));
}

void expect_refused(const json& object, std::string_view message) {
  expect_throw<DataError>([&] { (void)load(object); }, message);
}

TEST(Config, LlamaDefaults) {
  const Config config = load(base("llama"));
  EXPECT_EQ(config.family, &kLlama);
  EXPECT_EQ(config.heads.kv_heads, 8);
  EXPECT_EQ(config.heads.head_dim, 32);
  EXPECT_EQ(config.rotary_dim, 32);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.norm, kernels::NormKind::kRms);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-6F);
  EXPECT_EQ(config.activation, kernels::Activation::kGatedSilu);
  EXPECT_FALSE(config.tied_embeddings || config.qkv_bias || config.output_bias || config.mlp_bias ||
               config.query_key_norm || config.parallel_residual);
  EXPECT_EQ(config.sliding_window, std::nullopt);
  EXPECT_EQ(config.dtype, DType::kF32);
  // theta 10000: the second frequency is 10000^(-2/32).
  EXPECT_DOUBLE_EQ(config.inverse_frequencies[0], 1.0);
  EXPECT_NEAR(config.inverse_frequencies[1], 0.5623413251903491, 1e-15);
}

TEST(Config, LlamaBiasesTiesAndTypes) {
  const Config config = load(with(base("llama"),
                                  {{"attention_bias", true},
                                   {"mlp_bias", true},
                                   {"tie_word_embeddings", true},
                                   {"torch_dtype", "bfloat16"},
                                   {"hidden_act", "gelu_pytorch_tanh"},
                                   {"head_dim", nullptr},
                                   {"num_key_value_heads", 2}}));
  EXPECT_TRUE(config.qkv_bias && config.output_bias && config.mlp_bias && config.tied_embeddings);
  EXPECT_EQ(config.heads.kv_heads, 2);
  EXPECT_EQ(config.dtype, DType::kBF16);
  EXPECT_EQ(config.activation, kernels::Activation::kGatedGeluTanh);
  EXPECT_EQ(load(with(base("llama"), {{"dtype", "float16"}})).dtype, DType::kF16);
}

TEST(Config, ArchitectureStandsInForTheType) {
  json object =
      with(base("llama"), {{"architectures", {"Qwen2ForCausalLM"}}, {"num_key_value_heads", 4}});
  object.erase("model_type");
  EXPECT_EQ(load(object).family, &kQwen2);
}

TEST(Config, MistralWindowHoldsUnlessNull) {
  EXPECT_EQ(load(base("mistral")).sliding_window, 4096);
  EXPECT_EQ(load(with(base("mistral"), {{"sliding_window", 64}})).sliding_window, 64);
  EXPECT_EQ(load(with(base("mistral"), {{"sliding_window", nullptr}})).sliding_window,
            std::nullopt);
  EXPECT_EQ(load(base("mistral")).heads.kv_heads, 8);
}

TEST(Config, QwenWindowHoldsForTheLayersThatHaveIt) {
  const json window = {{"num_key_value_heads", 8}, {"sliding_window", 64}};
  const json off = with(base("qwen2"), window);
  EXPECT_EQ(load(off).sliding_window, std::nullopt);
  const json on = with(off, {{"use_sliding_window", true}});
  // Three layers: the default of 28 windowless layers leaves none that slides.
  EXPECT_EQ(load(on).sliding_window, std::nullopt);
  EXPECT_EQ(load(with(on, {{"max_window_layers", 2}})).sliding_window, 64);
  EXPECT_EQ(load(with(on, {{"max_window_layers", 3}})).sliding_window, std::nullopt);
  const json full = {"full_attention", "full_attention", "full_attention"};
  EXPECT_EQ(load(with(on, {{"max_window_layers", 0}, {"layer_types", full}})).sliding_window,
            std::nullopt);
}

TEST(Config, QwenBiasesAndNorms) {
  const Config qwen2 = load(with(base("qwen2"), {{"num_key_value_heads", nullptr}}));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.output_bias || qwen2.query_key_norm);
  EXPECT_EQ(qwen2.heads.kv_heads, 8);
  const Config qwen3 = load(with(base("qwen3"), {{"num_key_value_heads", 4}}));
  EXPECT_TRUE(qwen3.query_key_norm);
  EXPECT_FALSE(qwen3.qkv_bias || qwen3.output_bias);
  EXPECT_EQ(qwen3.heads.head_dim, 128);
}

TEST(Config, NeoxDefaults) {
  const Config config = load(base("gpt_neox"));
  EXPECT_EQ(config.norm, kernels::NormKind::kLayer);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5F);
  EXPECT_EQ(config.activation, kernels::Activation::kGelu);
  EXPECT_TRUE(config.parallel_residual && config.qkv_bias && config.output_bias && config.mlp_bias);
  EXPECT_EQ(config.rotary_dim, 8);
  EXPECT_FALSE(load(with(base("gpt_neox"), {{"use_parallel_residual", false}})).parallel_residual);
  EXPECT_FALSE(load(with(base("gpt_neox"), {{"attention_bias", false}})).qkv_bias);
}

TEST(Config, BothSpellingsOfRopeAgree) {
  const Config old_llama =
      load(with(base("llama"),
                {{"rope_theta", 500.0}, {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}}));
  const Config new_llama = load(with(
      base("llama"),
      {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 500.0}}}}));
  EXPECT_EQ(old_llama.inverse_frequencies, new_llama.inverse_frequencies);
  EXPECT_DOUBLE_EQ(old_llama.inverse_frequencies[0], 0.25);
  EXPECT_DOUBLE_EQ(old_llama.inverse_frequencies[8], 0.25 / std::sqrt(500.0));

  const Config old_neox =
      load(with(base("gpt_neox"), {{"rotary_pct", 0.5}, {"rotary_emb_base", 500}}));
  const Config new_neox =
      load(with(base("gpt_neox"),
                {{"rope_parameters", {{"partial_rotary_factor", 0.5}, {"rope_theta", 500.0}}}}));
  EXPECT_EQ(old_neox.rotary_dim, 16);
  EXPECT_EQ(old_neox.inverse_frequencies, new_neox.inverse_frequencies);
}

// Llama 3.1's own settings at head_dim 128, by hand: wavelength 2 pi 500000^(2i/128) against the
// bounds 8192 / 4 = 2048 (below: kept) and 8192 / 1 (above: an eighth).
TEST(Config, Llama3Frequencies) {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 8192}};
  const Config config = load(with(
      base("llama"), {{"head_dim", 128}, {"rope_theta", 500000.0}, {"rope_scaling", scaling}}));
  const auto& frequencies = config.inverse_frequencies;
  ASSERT_EQ(frequencies.size(), 64U);
  EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
  // i = 28: wavelength 1956.5, kept.
  EXPECT_NEAR(frequencies[28], 3.211446e-3, 1e-9);
  // i = 30: 500000^(-60/128) = 2.1311195e-3, wavelength 2948.303, 8192 / 2948.303 = 2.778548;
  // s = 1.778548 / 3 = 0.592849; 2.1311195e-3 (s + (1 - s) / 8) = 1.3718936e-3.
  EXPECT_NEAR(frequencies[30], 1.3718936e-3, 1e-9);
  // i = 35: wavelength 8218.7, just above the upper bound: 7.6449699e-4 / 8.
  EXPECT_NEAR(frequencies[35], 9.5562124e-5, 1e-11);
  // i = 63: 2.4551408e-6 / 8.
  EXPECT_NEAR(frequencies[63], 3.0689260e-7, 1e-13);
  EXPECT_DOUBLE_EQ(config.rope_attention_factor, 1.0);
}

TEST(Config, RopeTableHoldsCosineAndSine) {
  const Config config = load(base("gpt_neox"));
  const std::vector<float> table = rope_table(config, 3);
  ASSERT_EQ(table.size(), 3U * 4U * 2U);
  EXPECT_EQ(table[0], 1.0F);
  EXPECT_EQ(table[1], 0.0F);
  // Position 2, pair 1: angle 2 * 10000^(-2/8) = 0.2.
  EXPECT_FLOAT_EQ(table[2 * 8 + 2], 0.98006658F);
  EXPECT_FLOAT_EQ(table[2 * 8 + 3], 0.19866933F);
}

TEST(Config, RefusesUnknownArchitectures) {
  expect_refused(base("gpt2"),
                 "model_type \"gpt2\" is not supported; supported: llama (LlamaForCausalLM), "
                 "mistral (MistralForCausalLM), qwen2 (Qwen2ForCausalLM), qwen3 "
                 "(Qwen3ForCausalLM), gpt_neox (GPTNeoXForCausalLM)");
  expect_refused(with(base("llama"), {{"architectures", {"LlamaForSequenceClassification"}}}),
                 "architecture \"LlamaForSequenceClassification\" is not supported; supported: ");
  expect_refused(json::object(), "model_type and architectures are missing; supported: llama (");
  expect_refused(with(base("llama"), {{"quantization_config", {{"bits", 4}}}}),
                 "quantized checkpoints are not supported");
}

TEST(Config, RefusesUnknownSettingsByName) {
  expect_refused(with(base("llama"), {{"hidden_act", "relu"}}),
                 "hidden_act \"relu\" is not supported; supported: silu, swish, gelu, ");
  expect_refused(with(base("llama"), {{"torch_dtype", "float8_e4m3fn"}}),
                 "dtype \"float8_e4m3fn\" is not supported; supported: float32, float16, bfloat16");
  for (const char* type : {"yarn", "dynamic", "longrope"}) {
    expect_refused(with(base("llama"), {{"rope_scaling", {{"type", type}, {"factor", 2.0}}}}),
                   "rope_scaling: rope type \"" + std::string(type) +
                       "\" is not supported; supported: default, linear, llama3");
  }
  expect_refused(with(base("llama"), {{"rope_parameters", {{"full_attention", json::object()}}}}),
                 "rope_parameters: settings by layer type are not supported");
}

TEST(Config, RefusesAbsurdSizes) {
  expect_refused(with(base("llama"), {{"num_hidden_layers", -3}}),
                 "config.json: num_hidden_layers is -3; allowed: 1 to 1024");
  expect_refused(with(base("llama"), {{"hidden_size", 0}}),
                 "hidden_size is 0; allowed: 1 to 65536");
  expect_refused(with(base("llama"), {{"vocab_size", 18446744073709551615U}}),
                 "vocab_size is 18446744073709551615; allowed: 1 to 4194304");
  expect_refused(with(base("llama"), {{"intermediate_size", 1e300}}),
                 "intermediate_size is 1e+300; allowed: 1 to 1048576");
  expect_refused(with(base("llama"), {{"num_attention_heads", "8"}}),
                 "num_attention_heads is \"8\"; allowed: 1 to 1024");
  expect_refused(with(base("llama"), {{"head_dim", 1024}}), "head_dim is 1024; allowed: 1 to 512");
  expect_refused(with(base("llama"), {{"max_position_embeddings", 0}}),
                 "max_position_embeddings is 0; allowed: 1 to 134217728");
  expect_refused(with(base("llama"), {{"rms_norm_eps", -1.0}}), "rms_norm_eps is -1.0; allowed: ");
  expect_refused(with(base("llama"), {{"rope_theta", 0}}), "rope_theta is 0; allowed: ");
  json incomplete = base("llama");
  incomplete.erase("hidden_size");
  expect_refused(incomplete, "hidden_size is missing");
}

TEST(Config, RefusesHeadsThatDoNotDivide) {
  expect_refused(with(base("llama"), {{"num_key_value_heads", 3}}),
                 "num_attention_heads 8 is not a multiple of num_key_value_heads 3");
  expect_refused(with(base("llama"), {{"hidden_size", 250}}),
                 "hidden_size 250 over num_attention_heads 8 is no head_dim");
  expect_refused(with(base("llama"), {{"hidden_size", 65536}}),
                 "hidden_size 65536 over num_attention_heads 8 is no head_dim");
  expect_refused(with(base("gpt_neox"), {{"rotary_pct", 0.3}}),
                 "rotary dimension 9 (rotary_pct of head_dim 32) is odd");
}

TEST(Config, RefusesBrokenFiles) {
  TempFolder folder;
  expect_throw<DataError>([&] { (void)load_config(folder.path() / "config.json"); },
                          "config.json: missing or not readable");
  const auto broken = folder.write("config.json", "{\"a\": ");
  expect_throw<DataError>([&] { (void)load_config(broken); }, "config.json: not valid JSON");
  // A value is written out when it is refused, by recursion.
  const auto deep = folder.write(
      "config.json",
      "{\"hidden_size\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  expect_throw<DataError>([&] { (void)load_config(deep); }, "config.json: nested too deep");
  const auto lines = folder.write("config.json", R"({"model_type": "a\nb"})");
  expect_throw<DataError>([&] { (void)load_config(lines); }, "model_type \"a?b\" is not supp");
  const auto list = folder.write("config.json", "[]");
  expect_throw<DataError>([&] { (void)load_config(list); }, "config.json: not a JSON object");
  expect_refused(with(base("llama"), {{"rope_scaling", 3}}),
                 "rope_scaling is 3; allowed: an object");
  expect_refused(with(base("llama"), {{"mlp_bias", 1}}), "mlp_bias is 1; allowed: true, false");
}

}  // namespace
}  // namespace kvg::model
