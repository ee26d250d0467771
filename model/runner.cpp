#include "model/runner.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/core/error.h"
#include "model/activations.h"
#include "model/checkpoint.h"
#include "model/run_plan.h"

namespace kvg::model {
namespace {

std::size_t io_bytes(const RunShape& shape) {
  const auto batch = static_cast<std::size_t>(shape.batch);
  return 4 * (batch * static_cast<std::size_t>(std::max(shape.prompt, 1)) + 3 * batch);
}

// The element `index` of an array of `dtype`.
void* element(void* data, DType dtype, std::int64_t index) {
  return static_cast<std::byte*>(data) + index * static_cast<std::int64_t>(size_of(dtype));
}

// A few consecutive rows of the residual stream on their way through a layer.
struct Rows {
  float* residual = nullptr;  ///< [batch, tokens, hidden]
  int batch = 0;
  int tokens = 0;
  int past = 0;                                 ///< prompt tokens before these
  const kernels::StepCursor* cursor = nullptr;  ///< a decode step, else a prompt
  kernels::KvView kv;                           ///< of these batch rows

  [[nodiscard]] int count() const { return batch * tokens; }
};

}  // namespace

struct Runner::State {
  State(const Model& model,
        kernels::Backend& device,
        const kvcompress::Policy& policy,
        const RunShape& run)
      : config(model.config),
        weights(model.weights),
        backend(device),
        shape(run),
        cache(device, policy, cache_shape(model.config, run, device.compute_dtype())),
        extras(extras_of(policy, cache.shape())),
        at(lay_out(model.config, run, device.compute_dtype(), extras)),
        activations(device.pool().allocate(at.total, MemoryClass::kActivations)),
        io(device.host_pool().allocate(io_bytes(run), MemoryClass::kActivations)),
        scores(static_cast<std::size_t>(run.batch)) {
    backend.reserve_workspace(workspace_shape(config, policy, shape, device.compute_dtype()));
    const std::vector<float> table = rope_table(config, shape.tokens + extras.future);
    backend.upload(activations.as<float>(at.rope), table.data(), table.size() * sizeof(float));
  }

  [[nodiscard]] int io_tokens() const { return shape.batch * std::max(shape.prompt, 1); }
  [[nodiscard]] std::int32_t* tokens() const { return io.as<std::int32_t>(); }
  [[nodiscard]] std::int32_t* targets() const { return tokens() + io_tokens(); }
  [[nodiscard]] std::int32_t* best() const { return targets() + shape.batch; }
  [[nodiscard]] float* nll() const {
    return io.as<float>(4 * static_cast<std::size_t>(io_tokens() + 2 * shape.batch));
  }
  [[nodiscard]] float* residual() const { return activations.as<float>(at.residual); }
  [[nodiscard]] float* logits() const { return activations.as<float>(at.logits); }

  void embed(int rows) const;
  void attention(int layer, const Rows& rows) const;
  void mlp_up(const LayerWeights& layer, const Rows& rows) const;
  void run_layer(int layer, const Rows& rows) const;
  void head(const float* residual_rows, int first_row, int rows) const;
  void score() const;
  void enqueue_step();
  [[nodiscard]] kvcompress::LayerParts parts(int layer) const;
  void prompt_layer(int layer, int length, const kernels::KvView& kv);
  [[nodiscard]] kernels::KvView prompt_view(int length) const;
  std::span<const TokenScore> collect();

  const Config& config;
  const Weights& weights;
  kernels::Backend& backend;
  RunShape shape;
  kvcompress::KvCache cache;
  Extras extras;
  Activations at;
  Buffer activations;
  Buffer io;  ///< tokens, targets [batch], best [batch], nll [batch]
  std::vector<TokenScore> scores;
  std::unique_ptr<kernels::Graph> step;
};

void Runner::State::embed(int rows) const {
  backend.embed({.out = residual(),
                 .table = weights.embedding.weight,
                 .dtype = weights.embedding.dtype,
                 .tokens = tokens(),
                 .rows = rows,
                 .hidden = config.hidden});
}

void Runner::State::attention(int layer, const Rows& rows) const {
  const LayerWeights& part = weights.layers[static_cast<std::size_t>(layer)];
  const bool turned_twice = rows.cursor != nullptr && cache.turned_sinks() > 0;
  void* query = activations.as<std::byte>(at.query);
  void* sink_query = turned_twice ? activations.as<std::byte>(at.sink_query) : nullptr;
  void* out = activations.as<std::byte>(at.attended);
  const auto scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.heads.head_dim)));
  backend.project_qkv(
      {.in = rows.residual,
       .norm = part.attention_norm,
       .linear = part.qkv,
       .query_norm = part.query_norm,
       .key_norm = part.key_norm,
       .rope = {.table = activations.as<float>(at.rope), .rotary_dim = config.rotary_dim},
       .shape = config.heads,
       .batch = rows.batch,
       .tokens = rows.tokens,
       .cursor = rows.cursor,
       .position = rows.past,
       .query = query,
       .sink_query = sink_query,
       .kv = rows.kv,
       .heads = rows.cursor != nullptr ? cache.step_heads(layer) : nullptr});
  if (rows.cursor == nullptr) {
    backend.prefill_attend({.out = out,
                            .query = query,
                            .kv = rows.kv,
                            .past = rows.past,
                            .tokens = rows.tokens,
                            .shape = config.heads,
                            .batch = rows.batch,
                            .scale = scale});
    return;
  }
  cache.enqueue_append(layer);
  backend.attend({.out = out,
                  .query = query,
                  .sink_query = sink_query,
                  .sinks = turned_twice ? cache.turned_sinks() : 0,
                  .kv = cache.stored(layer),
                  .pages = cache.enqueue_pages(layer, query),
                  .shape = config.heads,
                  .batch = rows.batch,
                  .scale = scale,
                  .scores = cache.step_scores()});
  cache.enqueue_after_attend(layer);
}

void Runner::State::mlp_up(const LayerWeights& layer, const Rows& rows) const {
  backend.project({.out = activations.as<std::byte>(at.mlp),
                   .out_dtype = backend.compute_dtype(),
                   .in = rows.residual,
                   .norm = layer.mlp_norm,
                   .linear = layer.up,
                   .activation = config.activation,
                   .rows = rows.count()});
}

void Runner::State::run_layer(int layer, const Rows& rows) const {
  const LayerWeights& part = weights.layers[static_cast<std::size_t>(layer)];
  attention(layer, rows);
  // A parallel MLP reads the layer's input, so it comes before the attention's output is added.
  if (config.parallel_residual) {
    mlp_up(part, rows);
  }
  backend.add_project({.inout = rows.residual,
                       .in = activations.as<std::byte>(at.attended),
                       .linear = part.attention_out,
                       .rows = rows.count()});
  if (!config.parallel_residual) {
    mlp_up(part, rows);
  }
  backend.add_project({.inout = rows.residual,
                       .in = activations.as<std::byte>(at.mlp),
                       .linear = part.down,
                       .rows = rows.count()});
}

void Runner::State::head(const float* residual_rows, int first_row, int rows) const {
  backend.project({.out = logits() + static_cast<std::ptrdiff_t>(first_row) * config.vocab,
                   .out_dtype = DType::kF32,
                   .in = residual_rows,
                   .norm = weights.final_norm,
                   .linear = weights.head,
                   .activation = kernels::Activation::kNone,
                   .rows = rows});
}

void Runner::State::score() const {
  backend.score({.logits = logits(),
                 .targets = targets(),
                 .nll = nll(),
                 .best = best(),
                 .rows = shape.batch,
                 .vocab = config.vocab});
}

void Runner::State::enqueue_step() {
  embed(shape.batch);
  for (int layer = 0; layer < config.layers; ++layer) {
    run_layer(layer,
              {.residual = residual(),
               .batch = shape.batch,
               .tokens = 1,
               .past = 0,
               .cursor = cache.cursor(),
               .kv = cache.step_target(layer)});
  }
  head(residual(), 0, shape.batch);
  score();
  cache.enqueue_finish_step();
}

kernels::KvView Runner::State::prompt_view(int length) const {
  const DType dtype = backend.compute_dtype();
  const std::int64_t head_stride = static_cast<std::int64_t>(length) * config.heads.head_dim;
  const std::int64_t batch_stride = head_stride * config.heads.kv_heads;
  void* keys = activations.as<std::byte>(at.prompt_kv);
  return {.keys = keys,
          .values = element(keys, dtype, batch_stride * shape.batch),
          .dtype = dtype,
          .batch_stride = batch_stride,
          .head_stride = head_stride};
}

// What a layer lends to a selection.
kvcompress::LayerParts Runner::State::parts(int layer) const {
  return {.turn = {.table = activations.as<float>(at.rope), .rotary_dim = config.rotary_dim},
          .output = weights.layers[static_cast<std::size_t>(layer)].attention_out};
}

void Runner::State::prompt_layer(int layer, int length, const kernels::KvView& kv) {
  const Chunking chunk = chunking(shape);
  const bool together = chunk.batch == shape.batch;
  for (int row = 0; row < shape.batch; row += chunk.batch) {
    kernels::KvView row_kv = kv;
    row_kv.keys = element(kv.keys, kv.dtype, row * kv.batch_stride);
    row_kv.values = element(kv.values, kv.dtype, row * kv.batch_stride);
    for (int past = 0; past < length; past += chunk.tokens) {
      const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(row) * length + past;
      const Rows rows = {.residual = residual() + first * config.hidden,
                         .batch = together ? shape.batch : 1,
                         .tokens = std::min(chunk.tokens, length - past),
                         .past = past,
                         .cursor = nullptr,
                         .kv = row_kv};
      run_layer(layer, rows);
      cache.observe({.query = activations.as<std::byte>(at.query),
                     .batch = rows.batch,
                     .first_row = row,
                     .past = past,
                     .tokens = rows.tokens,
                     .shape = config.heads},
                    row_kv,
                    parts(layer));
    }
  }
}

std::span<const TokenScore> Runner::State::collect() {
  backend.synchronize();
  for (int row = 0; row < shape.batch; ++row) {
    scores[static_cast<std::size_t>(row)] = {.nll = nll()[row], .best = best()[row]};
  }
  return scores;
}

Runner::Runner(const Model& model,
               kernels::Backend& backend,
               const kvcompress::Policy& policy,
               const RunShape& shape) {
  check_run(model.config, policy, shape, backend.compute_dtype());
  state_ = std::make_unique<State>(model, backend, policy, shape);
  State& state = *state_;
  // One step for real, so that every kernel is loaded before the capture.
  std::fill_n(state.tokens(), shape.batch, 0);
  std::fill_n(state.targets(), shape.batch, kNoTarget);
  state.enqueue_step();
  backend.synchronize();
  state.step = backend.capture([&state] { state.enqueue_step(); });
  begin();
}

Runner::~Runner() = default;

MemoryPlan Runner::plan(const Config& config,
                        const kernels::Backend& backend,
                        const kvcompress::Policy& policy,
                        const RunShape& shape) {
  const DType compute = backend.compute_dtype();
  check_run(config, policy, shape, compute);
  const kvcompress::CacheShape cache = cache_shape(config, shape, compute);
  return {.weights = weight_bytes(config, matrix_dtype(config, backend.device().kind, compute)),
          .kv = kvcompress::KvCache::kv_bytes(policy, cache),
          .activations = lay_out(config, shape, compute, extras_of(policy, cache)).total,
          .workspace = backend.workspace_bytes(workspace_shape(config, policy, shape, compute)),
          .observations = kvcompress::KvCache::observation_bytes(policy, cache)};
}

void Runner::begin() {
  state_->backend.synchronize();
  state_->cache.begin();
}

std::span<const TokenScore> Runner::prefill(std::span<const std::int32_t> tokens,
                                            std::span<const std::int32_t> targets) {
  State& state = *state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  KVG_EXPECT(targets.size() == batch && !tokens.empty() && tokens.size() % batch == 0,
             "one prompt and one target a row, prompts of equal length");
  const auto length = static_cast<int>(tokens.size() / batch);
  KVG_EXPECT(length <= state.shape.prompt, "the runner was planned for the prompt");
  KVG_EXPECT(state.cache.tokens_fed() == 0, "a prompt is fed to an empty cache");
  std::ranges::copy(tokens, state.tokens());
  std::ranges::copy(targets, state.targets());

  state.embed(state.shape.batch * length);
  const bool whole = state.cache.takes_whole(length);
  state.cache.begin_prompt(length);
  for (int layer = 0; layer < state.config.layers; ++layer) {
    const kernels::KvView kv = whole ? state.cache.layer(layer) : state.prompt_view(length);
    state.prompt_layer(layer, length, kv);
    if (!whole) {
      state.cache.keep_of_prompt(layer, kv, state.parts(layer));
    }
  }
  for (int row = 0; row < state.shape.batch; ++row) {
    const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(row + 1) * length - 1;
    state.head(state.residual() + last * state.config.hidden, row, 1);
  }
  state.score();
  state.cache.finish_prompt();
  return state.collect();
}

std::span<const TokenScore> Runner::step(std::span<const std::int32_t> tokens,
                                         std::span<const std::int32_t> targets) {
  State& state = *state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  KVG_EXPECT(tokens.size() == batch && targets.size() == batch, "one token and target a row");
  KVG_EXPECT(state.cache.tokens_fed() < state.shape.tokens, "the runner was planned for the run");
  std::ranges::copy(tokens, state.tokens());
  std::ranges::copy(targets, state.targets());
  state.step->launch();
  state.cache.count_step();
  return state.collect();
}

std::vector<float> Runner::logits() const {
  std::vector<float> host(static_cast<std::size_t>(state_->shape.batch) *
                          static_cast<std::size_t>(state_->config.vocab));
  state_->backend.download(host.data(), state_->logits(), host.size() * sizeof(float));
  return host;
}

const kvcompress::KvCache& Runner::cache() const {
  return state_->cache;
}

}  // namespace kvg::model
