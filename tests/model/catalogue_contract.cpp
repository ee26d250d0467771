#include "tests/model/catalogue_contract.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

namespace kvg::testing_support {
namespace {

using kvcompress::Feed;

constexpr int kVocab = 96;

nlohmann::json config_of(std::string_view family) {
  nlohmann::json config = {{"hidden_size", 64},
                           {"head_dim", 64},
                           {"intermediate_size", 96},
                           {"num_hidden_layers", kLayers},
                           {"vocab_size", kVocab},
                           {"torch_dtype", "float32"}};
  if (family == "llama") {
    config.update({{"model_type", "llama"},
                   {"architectures", {"LlamaForCausalLM"}},
                   {"num_attention_heads", 4},
                   {"num_key_value_heads", 2}});
  } else {
    config.update({{"model_type", "gpt_neox"},
                   {"architectures", {"GPTNeoXForCausalLM"}},
                   {"num_attention_heads", 2},
                   {"rotary_pct", 0.25}});
  }
  return config;
}

bool has_param(std::span<const kvcompress::ParamInfo> params, std::string_view name) {
  return std::ranges::any_of(params, [&](const auto& param) { return param.name == name; });
}

// What the contract gives a parameter of a selection; empty: its default.
std::string value_of(const kvcompress::ParamInfo& param, int budget, const std::string& matrix) {
  const std::pair<std::string_view, std::string> values[] = {{"budget", std::to_string(budget)},
                                                             {"window", "4"},
                                                             {"sinks", "2"},
                                                             {"lag", "3"},
                                                             {"future", "16"},
                                                             {"chunk", "4"},
                                                             {"page", "4"},
                                                             {"dense", "1"},
                                                             {"matrix", matrix}};
  for (const auto& [name, value] : values) {
    if (param.name == name) {
      return value;
    }
  }
  // duo: sinks and recent together are the budget; h2o keeps half.
  return param.name == "recent" && !param.optional ? std::to_string(budget - 2) : "";
}

}  // namespace

TinyModel::TinyModel(std::string_view family)
    : backend_(kernels::make_backend(kernels::find_device(kContractDevice),
                                     std::string_view(kContractDevice) == "cpu"
                                         ? kernels::BackendOptions{.threads = 1}
                                         : kernels::BackendOptions{})),
      source_(model::find_model(
          "synthetic:" + folder_.write("config.json", config_of(family).dump()).string(), 11)),
      weights_(model::load_weights(source_, *backend_, {})) {}

void TinyModel::make_keys_equal(bool bias) {
  const kernels::HeadShape& heads = source_.config.heads;
  const auto head_dim = static_cast<std::size_t>(heads.head_dim);
  const std::size_t first = static_cast<std::size_t>(heads.heads) * head_dim;
  const std::size_t rows = static_cast<std::size_t>(heads.kv_heads) * head_dim;
  const auto columns = static_cast<std::size_t>(source_.config.hidden);
  const std::vector<float> zeros(rows * columns, 0.0F);
  for (const model::LayerWeights& layer : weights_.layers) {
    ASSERT_EQ(layer.qkv.dtype, DType::kF32);
    auto* matrix = static_cast<float*>(const_cast<void*>(layer.qkv.weight));
    backend_->upload(matrix + first * columns, zeros.data(), zeros.size() * sizeof(float));
    if (layer.qkv.bias != nullptr && !bias) {
      backend_->upload(
          const_cast<float*>(layer.qkv.bias) + first, zeros.data(), rows * sizeof(float));
    }
  }
  backend_->synchronize();
}

std::unique_ptr<model::Runner> TinyModel::runner(std::string_view spec,
                                                 const model::RunShape& shape) {
  return std::make_unique<model::Runner>(model::Model{source_.config, weights_},
                                         *backend_,
                                         kvcompress::parse_policy(spec, feed_of(shape)),
                                         shape);
}

Feed feed_of(const model::RunShape& shape) {
  return shape.prompt > 0 ? Feed::kPrompt : Feed::kSteps;
}

model::RunShape shape_of(Feed feed) {
  return feed == Feed::kSteps ? model::RunShape{.tokens = kStreamTokens}
                              : model::RunShape{.prompt = kPromptTokens, .tokens = kSplitTokens};
}

std::vector<std::int32_t> random_ids(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(count);
  for (std::int32_t& id : ids) {
    id = static_cast<std::int32_t>(random() % kVocab);
  }
  return ids;
}

Trace trace_of(model::Runner& runner, std::span<const std::int32_t> ids, std::int32_t prompt) {
  const auto batch = static_cast<std::size_t>(runner.cache().shape().batch);
  const std::vector<std::int32_t> none(batch, model::kNoTarget);
  Trace trace;
  const auto record = [&] {
    trace.logits.push_back(runner.logits());
    trace.entries.push_back(runner.cache().mean_entries());
  };
  runner.begin();
  const auto first = static_cast<std::size_t>(prompt);
  if (prompt > 0) {
    std::vector<std::int32_t> prompts;
    for (std::size_t row = 0; row < batch; ++row) {
      prompts.insert(prompts.end(), ids.begin(), ids.begin() + prompt);
    }
    (void)runner.prefill(prompts, none);
    record();
  }
  for (const std::int32_t id : ids.subspan(first)) {
    (void)runner.step(std::vector<std::int32_t>(batch, id), none);
    record();
  }
  trace.kept = runner.cache().kept_entries();
  return trace;
}

double relative_error(std::span<const float> actual, std::span<const float> expected) {
  double worst = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(actual[i]) - expected[i]));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

std::vector<CodecText> codec_texts() {
  std::vector<CodecText> texts{
      {.text = ""},
      {.text = "+k=int8,v=int4"},
      {.text = "+k=fp8,v=int4,v.group=16"},
      {.text = "+k=kivi4,k.group=16,k.residual=32,v=kivi4,v.group=16,v.residual=16", .waits = true},
      {.text = "+k=kivi2,k.group=16,k.residual=16,v=int2", .waits = true}};
  for (const kvcompress::CodecInfo& info : kvcompress::codecs()) {
    CodecText codec{.text = "+" + std::string(info.name)};
    if (has_param(info.params, "residual")) {
      codec.text += ":group=16,residual=16";
      codec.waits = true;
    }
    if (has_param(info.params, "pruned")) {
      // Another window than the selections have.
      codec.text += ":recent=4,window=3";
      codec.waits = codec.needs_prompt = true;
    }
    texts.push_back(codec);
  }
  return texts;
}

std::string CatalogueContract::head_matrix() {
  std::string text;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int head = 0; head < model_.config().heads.kv_heads; ++head) {
      text += (layer + head) % 2 == 0 ? "1 " : "0 ";
    }
    text += "\n";
  }
  return folder_.write("heads.txt", text).string();
}

std::vector<Chosen> CatalogueContract::chosen(Feed feed, int budget) {
  const kvcompress::SelectionInfo& selection = info();
  if (feed == Feed::kSteps && !selection.with_steps) {
    return {};
  }
  std::string params;
  for (const kvcompress::ParamInfo& param : selection.params) {
    const std::string value = value_of(param, budget, head_matrix());
    if (!value.empty()) {
      params += (params.empty() ? ":" : ",") + std::string(param.name) + "=" + value;
    }
  }
  const std::string_view name = selection.name;
  const bool decides = has_param(selection.params, "decode");
  const bool evicts = name == "h2o" || name == "rkv" || name == "duo";
  std::vector<Chosen> specs{{.spec = std::string(name) + params,
                             .name = name,
                             .binds_in_steps = evicts || (decides && feed == Feed::kSteps)}};
  if (feed == Feed::kPrompt && decides && name != "adakv") {
    specs.push_back(
        {.spec = specs[0].spec + ",decode=evict", .name = name, .binds_in_steps = true});
  }
  return specs;
}

bool CatalogueContract::is_refused(const Chosen& selection, const CodecText& codec, Feed feed) {
  if (codec.needs_prompt && feed == Feed::kSteps) {
    return true;
  }
  return codec.waits && (selection.binds_in_steps || selection.name == "quest");
}

double CatalogueContract::entries_by_definition(const Chosen& selection,
                                                std::int32_t prompt,
                                                std::int32_t steps) const {
  const double all = prompt + steps;
  if (selection.name == "baseline" || selection.name == "quest") {
    return all;
  }
  const double bound = std::min<double>(kBudget, all);
  if (selection.name == "duo") {
    const int heads = kLayers * model_.config().heads.kv_heads;
    // head_matrix() begins with a head that keeps everything.
    const int whole = (heads + 1) / 2;
    return (whole * all + (heads - whole) * bound) / heads;
  }
  return selection.binds_in_steps ? bound : std::min(kBudget, prompt) + steps;
}

}  // namespace kvg::testing_support
