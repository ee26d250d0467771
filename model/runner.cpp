#include "model/runner.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/core/error.h"
#include "model/activations.h"
#include "model/checkpoint.h"
#include "model/run_plan.h"
#include "model/runner_state.h"

namespace kvg::model {
Runner::State::State(const Model& model,
                     kernels::Backend& device,
                     const kvcompress::Policy& how,
                     const RunShape& run)
    : config(model.config),
      weights(model.weights),
      backend(device),
      policy(how),
      shape(run),
      pass(pass_of(model.config, how, run, device.compute_dtype())) {
  const DType compute = backend.compute_dtype();
  shape = planned_shape(run, pass.has_value());
  Extras extras;
  if (pass) {
    extras = extras_of_pass(policy, *pass);
  } else {
    cache.emplace(device, policy, cache_shape(config, shape, compute));
    extras = extras_of(policy, cache->shape());
  }
  at = lay_out(config, shape, compute, extras);
  activations = device.pool().allocate(at.total, MemoryClass::kActivations);
  io_at = lay_out_io(shape, pass.has_value());
  io = device.host_pool().allocate(io_at.total, MemoryClass::kActivations);
  scores.resize(io_at.scored);
  workspace = backend.make_workspace(pass ? workspace_shape_of_pass(config, shape)
                                          : workspace_shape(config, policy, shape, compute));
  const std::vector<float> table = rope_table(config, shape.tokens + extras.future);
  backend.upload(activations.as<float>(at.rope), table.data(), table.size() * sizeof(float));
}

void Runner::State::embed(std::ptrdiff_t first, int rows) const {
  backend.embed({.out = residual(),
                 .table = weights.embedding.weight,
                 .dtype = weights.embedding.dtype,
                 .tokens = tokens() + first,
                 .rows = rows,
                 .hidden = config.hidden});
}

void Runner::State::attention(int layer, const Rows& rows) const {
  const LayerWeights& part = weights.layers[static_cast<std::size_t>(layer)];
  const bool is_step = rows.cursor != nullptr;
  const LayerBuffers& own = buffers(rows);
  void* query = activations.as<std::byte>(own.query);
  void* sink_query = rows.turned_sinks > 0 ? activations.as<std::byte>(own.sink_query) : nullptr;
  void* out = activations.as<std::byte>(own.attended);
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
       .last_sink_position = rows.sees.last_position(),
       .kv = rows.kv,
       .heads = is_step ? cache->step_heads(layer) : nullptr});
  if (config.parallel_residual && is_step) {
    mlp(part, rows);
  }
  if (!is_step) {
    backend.prefill_attend({.out = out,
                            .query = query,
                            .sink_query = sink_query,
                            .sees = rows.sees,
                            .kv = rows.kv,
                            .past = rows.past,
                            .tokens = rows.tokens,
                            .shape = config.heads,
                            .batch = rows.batch,
                            .scale = scale});
    return;
  }
  cache->enqueue_append(layer);
  backend.attend({.out = out,
                  .query = query,
                  .sink_query = sink_query,
                  .sinks = rows.turned_sinks,
                  .kv = cache->stored(layer),
                  .pages = cache->enqueue_pages(layer, query),
                  .shape = config.heads,
                  .batch = rows.batch,
                  .scale = scale,
                  .scores = cache->step_scores()});
  cache->enqueue_after_attend(layer);
}

void Runner::State::mlp(const LayerWeights& layer, const Rows& rows) const {
  void* features = activations.as<std::byte>(buffers(rows).mlp);
  backend.project({.out = features,
                   .out_dtype = backend.compute_dtype(),
                   .in = rows.residual,
                   .norm = layer.mlp_norm,
                   .linear = layer.up,
                   .activation = config.activation,
                   .rows = rows.count()});
  backend.add_project(
      {.inout = rows.residual, .in = features, .linear = layer.down, .rows = rows.count()});
}

void Runner::State::output_and_mlp(int layer, const Rows& rows) const {
  const LayerWeights& part = weights.layers[static_cast<std::size_t>(layer)];
  // A parallel MLP reads the layer's input, so it comes before the attention's output is added; of
  // a step it goes beside the attention.
  if (config.parallel_residual && rows.cursor == nullptr) {
    mlp(part, rows);
  }
  backend.add_project({.inout = rows.residual,
                       .in = activations.as<std::byte>(buffers(rows).attended),
                       .linear = part.attention_out,
                       .rows = rows.count()});
  if (!config.parallel_residual) {
    mlp(part, rows);
  }
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

void Runner::State::score(int first, int rows) const {
  backend.score({.logits = logits(),
                 .targets = targets() + first,
                 .nll = nll() + first,
                 .best = best() + first,
                 .rows = rows,
                 .vocab = config.vocab});
}

void Runner::State::enqueue_step() {
  embed(0, shape.batch);
  for (int layer = 0; layer < config.layers; ++layer) {
    const Rows rows = {.residual = residual(),
                       .batch = shape.batch,
                       .tokens = 1,
                       .past = 0,
                       .cursor = cache->cursor(),
                       .kv = cache->step_target(layer),
                       .turned_sinks = cache->turned_sinks()};
    attention(layer, rows);
    output_and_mlp(layer, rows);
  }
  head(residual(), 0, shape.batch);
  score(0, shape.batch);
  cache->enqueue_finish_step();
}

void Runner::State::enqueue_tokens(std::span<const std::int32_t> fed,
                                   std::span<const std::int32_t> wanted) {
  backend.use_workspace(*workspace);
  std::ranges::copy(fed, tokens());
  std::ranges::copy(wanted, targets());
  step->launch();
  cache->count_step();
}

std::span<const TokenScore> Runner::State::collect(std::size_t rows) {
  backend.synchronize();
  for (std::size_t row = 0; row < rows; ++row) {
    scores[row] = {.nll = nll()[row], .best = best()[row]};
  }
  return std::span(scores).first(rows);
}

Runner::Runner(const Model& model,
               kernels::Backend& backend,
               const kvcompress::Policy& policy,
               const RunShape& shape) {
  check_run(model.config, policy, shape, backend.compute_dtype());
  state_ = std::make_unique<State>(model, backend, policy, shape);
  State& state = *state_;
  if (state.pass) {
    return;
  }
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
  const std::size_t weights =
      weight_bytes(config, matrix_dtype(config, backend.device().kind, compute));
  if (const auto pass = pass_of(config, policy, shape, compute)) {
    const RunShape planned = planned_shape(shape, true);
    return {.weights = weights,
            .kv = 0,
            .activations = lay_out(config, planned, compute, extras_of_pass(policy, *pass)).total,
            .workspace = backend.workspace_bytes(workspace_shape_of_pass(config, planned)),
            .observations = 0};
  }
  const kvcompress::CacheShape cache = cache_shape(config, shape, compute);
  return {.weights = weights,
          .kv = kvcompress::KvCache::kv_bytes(policy, cache),
          .activations = lay_out(config, shape, compute, extras_of(policy, cache)).total,
          .workspace = backend.workspace_bytes(workspace_shape(config, policy, shape, compute)),
          .observations = kvcompress::KvCache::observation_bytes(policy, cache)};
}

int Runner::useful_batch(const Config& config,
                         const kernels::Backend& backend,
                         const kvcompress::Policy& policy,
                         const RunShape& shape) {
  const bool pass = pass_of(config, policy, shape, backend.compute_dtype()).has_value();
  return pass ? std::min(shape.batch, rows_of_a_chunk(planned_shape(shape, true))) : shape.batch;
}

void Runner::begin() {
  state_->backend.use_workspace(*state_->workspace);
  state_->backend.synchronize();
  state_->cache.value().begin();
}

std::span<const TokenScore> Runner::step(std::span<const std::int32_t> tokens,
                                         std::span<const std::int32_t> targets) {
  State& state = *state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  KVG_EXPECT(tokens.size() == batch && targets.size() == batch, "one token and target a row");
  KVG_EXPECT(state.cache->tokens_fed() < state.shape.tokens, "the runner was planned for the run");
  state.enqueue_tokens(tokens, targets);
  return state.collect(batch);
}

std::vector<float> Runner::logits() const {
  std::vector<float> host(static_cast<std::size_t>(state_->shape.batch) *
                          static_cast<std::size_t>(state_->config.vocab));
  state_->backend.download(host.data(), state_->logits(), host.size() * sizeof(float));
  return host;
}

std::size_t Runner::step_kernels() const {
  return state_->step ? state_->step->kernels() : 0;
}

bool Runner::holds_cache() const {
  return state_->cache.has_value();
}

const kvcompress::KvCache& Runner::cache() const {
  KVG_EXPECT(holds_cache(), "one pass over texts holds no cache");
  return *state_->cache;
}

}  // namespace kvg::model
