// How prompts go through a runner, and texts that are scored in one pass.

#include <algorithm>

#include "kernels/core/error.h"
#include "model/runner_state.h"

namespace kvg::model {
namespace {

// The element `index` of an array of `dtype`.
void* element(void* data, DType dtype, std::int64_t index) {
  return static_cast<std::byte*>(data) + index * static_cast<std::int64_t>(size_of(dtype));
}

}  // namespace

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

std::vector<PromptChunk> Runner::State::chunks_of(int batch, int length) const {
  const Chunking chunk = chunking(shape);
  std::vector<PromptChunk> chunks;
  for (int row = 0; row < batch; row += chunk.batch) {
    for (int past = 0; past < length; past += chunk.tokens) {
      chunks.push_back({.row = row,
                        .batch = std::min(chunk.batch, batch - row),
                        .past = past,
                        .tokens = std::min(chunk.tokens, length - past),
                        .length = length});
    }
  }
  return chunks;
}

Rows Runner::State::rows_of(const PromptChunk& chunk,
                            float* residual,
                            const kernels::KvView& kv) const {
  kernels::KvView own = kv;
  own.keys = element(kv.keys, kv.dtype, chunk.row * kv.batch_stride);
  own.values = element(kv.values, kv.dtype, chunk.row * kv.batch_stride);
  return {.residual = residual,
          .batch = chunk.batch,
          .tokens = chunk.tokens,
          .past = chunk.past,
          .cursor = nullptr,
          .kv = own,
          .sees = pass.value_or(kernels::Visibility{}),
          .turned_sinks = pass && policy.selection->cache_positions() ? pass->sinks : 0};
}

void Runner::State::prompt_layer(int layer, int batch, int length, const kernels::KvView& kv) {
  for (const PromptChunk& chunk : chunks_of(batch, length)) {
    const Rows rows = rows_of(chunk, residual() + chunk.first() * config.hidden, kv);
    attention(layer, rows);
    if (!pass) {
      cache->observe({.query = activations.as<std::byte>(at.prompt.query),
                      .batch = rows.batch,
                      .first_row = chunk.row,
                      .past = rows.past,
                      .tokens = rows.tokens,
                      .shape = config.heads},
                     rows.kv,
                     parts(layer));
    }
    output_and_mlp(layer, rows);
  }
}

void Runner::State::heads_of_last(int first_row, int batch, int tokens) const {
  for (int row = 0; row < batch; ++row) {
    const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(row + 1) * tokens - 1;
    head(residual() + last * config.hidden, first_row + row, 1);
  }
}

void Runner::State::prompt_by_layers(int length) {
  embed(0, shape.batch * length);
  const kernels::KvView kv = prompt_view(length);
  for (int layer = 0; layer < config.layers; ++layer) {
    prompt_layer(layer, shape.batch, length, kv);
    cache->keep_of_prompt(layer, kv, parts(layer));
  }
  heads_of_last(0, shape.batch, length);
}

void Runner::State::prompt_by_chunks(int length) {
  for (const PromptChunk& chunk : chunks_of(shape.batch, length)) {
    embed(chunk.first(), chunk.batch * chunk.tokens);
    for (int layer = 0; layer < config.layers; ++layer) {
      const Rows rows = rows_of(chunk, residual(), cache->layer(layer));
      attention(layer, rows);
      output_and_mlp(layer, rows);
    }
    if (chunk.past + chunk.tokens == length) {
      heads_of_last(chunk.row, chunk.batch, chunk.tokens);
    }
  }
}

std::span<const TokenScore> Runner::prefill(std::span<const std::int32_t> tokens,
                                            std::span<const std::int32_t> targets) {
  State& state = *state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  KVG_EXPECT(targets.size() == batch && !tokens.empty() && tokens.size() % batch == 0,
             "one prompt and one target a row, prompts of equal length");
  const auto length = static_cast<int>(tokens.size() / batch);
  KVG_EXPECT(length <= state.shape.prompt, "the runner was planned for the prompt");
  KVG_EXPECT(state.cache->tokens_fed() == 0, "a prompt is fed to an empty cache");
  state.backend.use_workspace(*state.workspace);
  std::ranges::copy(tokens, state.tokens());
  std::ranges::copy(targets, state.targets());

  const bool whole = state.cache->takes_whole(length);
  state.cache->begin_prompt(length);
  if (whole) {
    state.prompt_by_chunks(length);
  } else {
    state.prompt_by_layers(length);
  }
  state.score(0, state.shape.batch);
  state.cache->finish_prompt();
  return state.collect(batch);
}

}  // namespace kvg::model
