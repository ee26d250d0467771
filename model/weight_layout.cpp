#include "model/weight_layout.h"

#include <utility>

#include "model/families/families.h"

namespace kvg::model {
namespace {

constexpr std::size_t kAlignment = 256;

std::string tensor_name(std::string_view pattern, int layer, bool bias) {
  std::string name(pattern);
  if (const std::size_t at = name.find('#'); at != std::string::npos) {
    name.replace(at, 1, std::to_string(layer));
  }
  return name + (bias ? ".bias" : ".weight");
}

struct Stacked {
  std::string_view pattern;
  int rows = 0;
};

// A projection: its tensors stacked by rows, and whether they have biases.
struct Projection {
  WeightRole role;
  std::vector<Stacked> tensors{};
  int columns = 0;
  bool bias = false;
  bool by_head = false;
};

class Builder {
 public:
  Builder(const Config& config, DType matrix_dtype)
      : config_(config), names_(config.family->names), matrix_dtype_(matrix_dtype) {}

  WeightLayout build() && {
    add_matrix(WeightRole::kEmbedding, names_.embedding, {});
    for (layer_ = 0; layer_ < config_.layers; ++layer_) {
      add_layer();
    }
    layer_ = 0;
    add_norm(WeightRole::kFinalNorm, names_.final_norm, config_.hidden);
    if (!config_.tied_embeddings) {
      add_matrix(WeightRole::kHead, names_.head, names_.head_alias);
    }
    return std::move(layout_);
  }

 private:
  void add(WeightPart part) {
    part.layer = layer_;
    for (const PartSource& source : part.sources) {
      part.rows += source.rows;
    }
    part.dtype = part.vector ? DType::kF32 : matrix_dtype_;
    part.offset = layout_.total;
    layout_.total += (part.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    layout_.parts.push_back(std::move(part));
  }

  // The embedding or the head, [vocab, hidden].
  void add_matrix(WeightRole role, std::string_view name, std::string_view alias) {
    PartSource source{.tensor = tensor_name(name, layer_, false), .rows = config_.vocab};
    if (!alias.empty()) {
      source.alias = tensor_name(alias, layer_, false);
    }
    add({.role = role, .columns = config_.hidden, .sources = {std::move(source)}});
  }

  void add_vector(WeightRole role, bool bias, const Projection& projection) {
    WeightPart part{.role = role, .bias = bias, .vector = true, .by_head = projection.by_head};
    for (const Stacked& stacked : projection.tensors) {
      part.sources.push_back(
          {.tensor = tensor_name(stacked.pattern, layer_, bias), .rows = stacked.rows});
    }
    add(std::move(part));
  }

  void add_norm(WeightRole role, std::string_view name, int dim) {
    const Projection one{.role = role, .tensors = {{name, dim}}};
    add_vector(role, false, one);
    if (config_.norm == kernels::NormKind::kLayer) {
      add_vector(role, true, one);
    }
  }

  void add_projection(const Projection& projection) {
    WeightPart part{
        .role = projection.role, .columns = projection.columns, .by_head = projection.by_head};
    for (const Stacked& stacked : projection.tensors) {
      part.sources.push_back(
          {.tensor = tensor_name(stacked.pattern, layer_, false), .rows = stacked.rows});
    }
    add(std::move(part));
    if (projection.bias) {
      add_vector(projection.role, true, projection);
    }
  }

  [[nodiscard]] Projection qkv() const {
    const kernels::HeadShape& heads = config_.heads;
    const int queries = heads.heads * heads.head_dim;
    const int keys = heads.kv_heads * heads.head_dim;
    Projection projection{
        .role = WeightRole::kQkv, .columns = config_.hidden, .bias = config_.qkv_bias};
    if (names_.fused_qkv.empty()) {
      projection.tensors = {{names_.query, queries}, {names_.key, keys}, {names_.value, keys}};
    } else {
      projection.tensors = {{names_.fused_qkv, queries + 2 * keys}};
      projection.by_head = true;
    }
    return projection;
  }

  void add_layer() {
    add_norm(WeightRole::kAttentionNorm, names_.attention_norm, config_.hidden);
    add_projection(qkv());
    if (config_.query_key_norm) {
      add_norm(WeightRole::kQueryNorm, names_.query_norm, config_.heads.head_dim);
      add_norm(WeightRole::kKeyNorm, names_.key_norm, config_.heads.head_dim);
    }
    add_projection({.role = WeightRole::kAttentionOut,
                    .tensors = {{names_.attention_out, config_.hidden}},
                    .columns = config_.heads.heads * config_.heads.head_dim,
                    .bias = config_.output_bias});
    add_norm(WeightRole::kMlpNorm, names_.mlp_norm, config_.hidden);
    Projection up{.role = WeightRole::kUp, .columns = config_.hidden, .bias = config_.mlp_bias};
    if (kernels::is_gated(config_.activation)) {
      up.tensors.push_back({names_.gate, config_.intermediate});
    }
    up.tensors.push_back({names_.up, config_.intermediate});
    add_projection(up);
    add_projection({.role = WeightRole::kDown,
                    .tensors = {{names_.down, config_.hidden}},
                    .columns = config_.intermediate,
                    .bias = config_.mlp_bias});
  }

  const Config& config_;
  const TensorNames& names_;
  DType matrix_dtype_;
  int layer_ = 0;
  WeightLayout layout_;
};

void bind_norm(kernels::Norm& norm, const WeightPart& part, const float* data) {
  (part.bias ? norm.bias : norm.weight) = data;
}

void bind_linear(kernels::Linear& linear, const WeightPart& part, const void* data) {
  if (part.bias) {
    linear.bias = static_cast<const float*>(data);
    return;
  }
  linear.weight = data;
  linear.dtype = part.dtype;
  linear.out = part.rows;
  linear.in = part.columns;
}

void bind_part(Weights& weights, const WeightPart& part) {
  LayerWeights& layer = weights.layers[static_cast<std::size_t>(part.layer)];
  const auto* data = weights.storage.as<const float>(part.offset);
  switch (part.role) {
    case WeightRole::kEmbedding:
      return bind_linear(weights.embedding, part, data);
    case WeightRole::kFinalNorm:
      return bind_norm(weights.final_norm, part, data);
    case WeightRole::kHead:
      return bind_linear(weights.head, part, data);
    case WeightRole::kAttentionNorm:
      return bind_norm(layer.attention_norm, part, data);
    case WeightRole::kQkv:
      return bind_linear(layer.qkv, part, data);
    case WeightRole::kQueryNorm:
      layer.query_norm = data;
      return;
    case WeightRole::kKeyNorm:
      layer.key_norm = data;
      return;
    case WeightRole::kAttentionOut:
      return bind_linear(layer.attention_out, part, data);
    case WeightRole::kMlpNorm:
      return bind_norm(layer.mlp_norm, part, data);
    case WeightRole::kUp:
      return bind_linear(layer.up, part, data);
    case WeightRole::kDown:
      return bind_linear(layer.down, part, data);
  }
}

}  // namespace

WeightLayout lay_out_weights(const Config& config, DType matrix_dtype) {
  return Builder(config, matrix_dtype).build();
}

Weights bind_weights(const Config& config, const WeightLayout& layout, Buffer storage) {
  Weights weights;
  weights.storage = std::move(storage);
  const kernels::Norm norm{.kind = config.norm, .eps = config.norm_eps};
  weights.final_norm = norm;
  weights.layers.assign(static_cast<std::size_t>(config.layers),
                        LayerWeights{.attention_norm = norm, .mlp_norm = norm});
  for (const WeightPart& part : layout.parts) {
    bind_part(weights, part);
  }
  if (config.tied_embeddings) {
    weights.head = weights.embedding;
  }
  return weights;
}

}  // namespace kvg::model
