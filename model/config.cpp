#include "model/config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/core/error.h"
#include "model/families/families.h"
#include "model/json_reader.h"
#include "model/rope.h"

namespace kvg::model {
namespace {

using nlohmann::json;

// Far above any model known, and low enough that no product of them overflows 64 bits, and none
// that names rows of a matrix overflows 31.
constexpr Range kLayers{.min = 1, .max = 1024};
constexpr Range kHidden{.min = 1, .max = 65536};
constexpr Range kHeads{.min = 1, .max = 1024};
constexpr Range kHeadDim{.min = 1, .max = 512};
constexpr Range kIntermediate{.min = 1, .max = 1 << 20};
constexpr Range kVocab{.min = 1, .max = 1 << 22};
constexpr Range kPositions{.min = 1, .max = 1 << 27};
constexpr Range kEps{.min = 1e-12, .max = 1.0};

std::string supported_families() {
  std::string text;
  for (const Family* family : families()) {
    text += (text.empty() ? "" : ", ") + std::string(family->model_type) + " (" +
            std::string(family->architecture) + ")";
  }
  return text;
}

const Family* find_by(std::string_view Family::*name, std::string_view value) {
  const auto all = families();
  const auto it =
      std::ranges::find_if(all, [&](const Family* family) { return family->*name == value; });
  return it == all.end() ? nullptr : *it;
}

// The first of `architectures`, or empty.
std::string architecture_of(const JsonReader& reader) {
  const json* list = reader.find("architectures");
  if (list == nullptr || !list->is_array() || list->empty() || !list->front().is_string()) {
    return {};
  }
  return list->front().get<std::string>();
}

const Family& read_family(const JsonReader& reader) {
  const std::string type = reader.text("model_type", "");
  const std::string architecture = architecture_of(reader);
  if (type.empty() && architecture.empty()) {
    reader.refuse("model_type and architectures are missing; supported: " + supported_families());
  }
  const Family* family = type.empty() ? find_by(&Family::architecture, architecture)
                                      : find_by(&Family::model_type, type);
  if (family == nullptr) {
    reader.refuse("model_type \"" + (type.empty() ? architecture : type) +
                  "\" is not supported; supported: " + supported_families());
  }
  if (!architecture.empty() && architecture != family->architecture) {
    reader.refuse("architecture \"" + architecture +
                  "\" is not supported; supported: " + supported_families());
  }
  if (reader.has("quantization_config")) {
    reader.refuse("quantized checkpoints are not supported; supported: weights in F32, F16, BF16");
  }
  return *family;
}

void read_heads(const JsonReader& reader, Config& config) {
  const Family& family = *config.family;
  kernels::HeadShape& heads = config.heads;
  heads.heads = reader.integer("num_attention_heads", kHeads);
  // Absent means the family's number, an explicit null as many as heads.
  const bool absent = !reader.is_null("num_key_value_heads");
  heads.kv_heads = reader.integer("num_key_value_heads",
                                  kHeads,
                                  absent && family.kv_heads != 0 ? family.kv_heads : heads.heads);
  if (heads.heads % heads.kv_heads != 0) {
    reader.refuse("num_attention_heads " + std::to_string(heads.heads) +
                  " is not a multiple of num_key_value_heads " + std::to_string(heads.kv_heads));
  }
  if (reader.has("head_dim") || family.head_dim != 0) {
    heads.head_dim = reader.integer("head_dim", kHeadDim, family.head_dim);
    return;
  }
  heads.head_dim = config.hidden / heads.heads;
  if (config.hidden % heads.heads != 0 || heads.head_dim > static_cast<int>(kHeadDim.max)) {
    reader.refuse("hidden_size " + std::to_string(config.hidden) + " over num_attention_heads " +
                  std::to_string(heads.heads) +
                  " is no head_dim; allowed: a whole number up to 512");
  }
}

kernels::Activation read_activation(const JsonReader& reader, const Family& family) {
  using kernels::Activation;
  struct Entry {
    std::string_view name;
    Activation plain;
    Activation gated;
  };
  static constexpr std::array kEntries = {
      Entry{"silu", Activation::kSilu, Activation::kGatedSilu},
      Entry{"swish", Activation::kSilu, Activation::kGatedSilu},
      Entry{"gelu", Activation::kGelu, Activation::kGatedGelu},
      Entry{"gelu_python", Activation::kGelu, Activation::kGatedGelu},
      Entry{"gelu_new", Activation::kGeluTanh, Activation::kGatedGeluTanh},
      Entry{"gelu_fast", Activation::kGeluTanh, Activation::kGatedGeluTanh},
      Entry{"gelu_pytorch_tanh", Activation::kGeluTanh, Activation::kGatedGeluTanh}};
  const std::string name = reader.text("hidden_act", family.hidden_act);
  std::string names;
  for (const Entry& entry : kEntries) {
    if (entry.name == name) {
      return family.gated() ? entry.gated : entry.plain;
    }
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  reader.refuse("hidden_act \"" + name + "\" is not supported; supported: " + names);
}

bool read_setting(const JsonReader& reader, const Setting& setting) {
  return setting.key.empty() ? setting.value : reader.flag(setting.key, setting.value);
}

DType read_dtype(const JsonReader& reader) {
  const std::string name = reader.text("dtype", reader.text("torch_dtype", "float32"));
  if (name == "float32") {
    return DType::kF32;
  }
  if (name == "float16") {
    return DType::kF16;
  }
  if (name == "bfloat16") {
    return DType::kBF16;
  }
  reader.refuse("dtype \"" + name + "\" is not supported; supported: float32, float16, bfloat16");
}

// True when some layer of a family with kOptIn slides.
bool any_layer_slides(const JsonReader& reader, const Config& config) {
  if (const json* types = reader.find("layer_types"); types != nullptr && types->is_array()) {
    return std::ranges::find(*types, json("sliding_attention")) != types->end();
  }
  return reader.integer("max_window_layers", {0, kLayers.max}, config.family->max_window_layers) <
         config.layers;
}

std::optional<int> read_sliding_window(const JsonReader& reader, const Config& config) {
  const Family& family = *config.family;
  if (family.window == WindowRule::kNone || reader.is_null("sliding_window")) {
    return std::nullopt;
  }
  const bool holds = family.window == WindowRule::kAlways ||
                     (reader.flag("use_sliding_window", false) && any_layer_slides(reader, config));
  if (!holds) {
    return std::nullopt;
  }
  return reader.integer("sliding_window", kPositions, family.sliding_window);
}

std::string name_of_file(const std::filesystem::path& file) {
  if (file.filename() != "config.json") {
    return file.stem().string();
  }
  return std::filesystem::absolute(file).lexically_normal().parent_path().filename().string();
}

}  // namespace

Config load_config(const std::filesystem::path& file) {
  const json object = read_json_object(file);
  const JsonReader reader(object, file.string());
  Config config;
  config.name = name_of_file(file);
  config.family = &read_family(reader);
  const Family& family = *config.family;
  config.layers = reader.integer("num_hidden_layers", kLayers);
  config.hidden = reader.integer("hidden_size", kHidden);
  config.intermediate = reader.integer("intermediate_size", kIntermediate);
  config.vocab = reader.integer("vocab_size", kVocab);
  config.max_positions =
      reader.integer("max_position_embeddings", kPositions, family.max_positions);
  read_heads(reader, config);
  config.norm = family.norm;
  config.norm_eps = static_cast<float>(reader.number(family.norm_eps_key, kEps, family.norm_eps));
  config.activation = read_activation(reader, family);
  config.parallel_residual = read_setting(reader, family.parallel_residual);
  config.tied_embeddings = reader.flag("tie_word_embeddings", false);
  config.qkv_bias = read_setting(reader, family.qkv_bias);
  config.output_bias = read_setting(reader, family.output_bias);
  config.mlp_bias = read_setting(reader, family.mlp_bias);
  config.query_key_norm = family.query_key_norm();
  config.sliding_window = read_sliding_window(reader, config);
  config.dtype = read_dtype(reader);
  read_rope(reader, config);
  return config;
}

}  // namespace kvg::model
