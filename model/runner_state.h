#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/activations.h"
#include "model/run_plan.h"
#include "model/runner.h"

namespace kvg::model {

/// A few consecutive rows of the residual stream on their way through a layer.
struct Rows {
  float* residual = nullptr;  ///< [batch, tokens, hidden]
  int batch = 0;
  int tokens = 0;
  int past = 0;                                 ///< prompt tokens before these
  const kernels::StepCursor* cursor = nullptr;  ///< a decode step, else a prompt
  kernels::KvView kv;                           ///< of these batch rows
  kernels::Visibility sees{};                   ///< what a prompt's tokens see
  int turned_sinks = 0;  ///< sinks that are looked at from a position of the cache

  [[nodiscard]] int count() const { return batch * tokens; }
};

/// What of prompts of equal length is computed at once.
struct PromptChunk {
  int row = 0;     ///< the first batch row
  int batch = 0;   ///< batch rows
  int past = 0;    ///< tokens of each before these
  int tokens = 0;  ///< of each
  int length = 0;  ///< of the whole prompt of each

  /// Of the first token among all prompts, [batch, length].
  [[nodiscard]] std::ptrdiff_t first() const {
    return static_cast<std::ptrdiff_t>(row) * length + past;
  }
};

/// What a runner holds, and the parts that its verbs are made of.
struct Runner::State {
  State(const Model& model,
        kernels::Backend& device,
        const kvcompress::Policy& how,
        const RunShape& run);

  [[nodiscard]] std::int32_t* tokens() const { return io.as<std::int32_t>(); }
  [[nodiscard]] std::int32_t* targets() const { return io.as<std::int32_t>(io_at.targets); }
  [[nodiscard]] std::int32_t* best() const { return io.as<std::int32_t>(io_at.best); }
  [[nodiscard]] float* nll() const { return io.as<float>(io_at.nll); }
  [[nodiscard]] float* residual() const { return activations.as<float>(at.residual); }
  [[nodiscard]] const LayerBuffers& buffers(const Rows& rows) const {
    return rows.cursor != nullptr ? at.step : at.prompt;
  }
  [[nodiscard]] float* logits() const { return activations.as<float>(at.logits); }

  /// Rows of residual() from 0 on become those of the tokens from `first` on.
  void embed(std::ptrdiff_t first, int rows) const;
  void attention(int layer, const Rows& rows) const;
  void mlp(const LayerWeights& layer, const Rows& rows) const;
  /// The rest of a layer; the queries are gone then.
  void output_and_mlp(int layer, const Rows& rows) const;
  /// Logits of residual rows to logits rows from `first_row` on.
  void head(const float* residual_rows, int first_row, int rows) const;
  /// Of the last of `tokens` residual rows of each of `batch` prompts, to logits rows from
  /// `first_row` on.
  void heads_of_last(int first_row, int batch, int tokens) const;
  /// Scores logits rows [0, rows) as the rows `first` and further of targets().
  void score(int first, int rows) const;
  void enqueue_step();
  [[nodiscard]] kvcompress::LayerParts parts(int layer) const;
  /// In the order in which they go through a layer.
  [[nodiscard]] std::vector<PromptChunk> chunks_of(int batch, int length) const;
  /// A chunk of a layer whose keys and values `kv` holds, of all batch rows.
  [[nodiscard]] Rows rows_of(const PromptChunk& chunk,
                             float* residual,
                             const kernels::KvView& kv) const;
  /// One layer of the first `batch` rows' prompts.
  void prompt_layer(int layer, int batch, int length, const kernels::KvView& kv);
  /// Prompts through all layers, residual rows and all, to logits of their last tokens: layer by
  /// layer, so that a policy sees a layer whole; or, into a cache that takes all there is, chunk by
  /// chunk, so that the residual stream of a chunk is all that is held of it.
  void prompt_by_layers(int length);
  void prompt_by_chunks(int length);
  [[nodiscard]] kernels::KvView prompt_view(int length) const;
  /// Waits for the first `rows` scores.
  std::span<const TokenScore> collect(std::size_t rows);
  /// Puts what `texts` feed and are scored against in place, every text `length` long.
  void place_texts(std::span<const std::vector<std::int32_t>> texts, std::size_t length);
  /// All layers of [batch, length] tokens(): residual() is what the head takes.
  void run_pass(int batch, int length);
  /// Logits rows [0, count) become those of the residual rows from `first` on.
  void pass_logits(int first, int count) const;
  /// Feeds one token a row and waits for nothing.
  void enqueue_tokens(std::span<const std::int32_t> fed, std::span<const std::int32_t> wanted);
  /// Divergences of logits rows [0, rows) from those of `baseline`, to nll() from `first` on.
  void compare(const State& baseline, int first, int rows) const;
  /// Divergences of every token of texts that both take in one pass.
  std::vector<std::vector<float>> compare_at_once(State& baseline,
                                                  std::span<const std::vector<std::int32_t>> texts);
  std::vector<std::vector<TokenScore>> score_at_once(
      std::span<const std::vector<std::int32_t>> texts);

  const Config& config;
  const Weights& weights;
  kernels::Backend& backend;
  kvcompress::Policy policy;
  RunShape shape;
  std::optional<kernels::Visibility> pass;  ///< texts go through in one pass, without a cache
  std::optional<kvcompress::KvCache> cache;
  Activations at;
  Buffer activations;
  IoLayout io_at;
  Buffer io;  ///< read and written by the host and the device
  std::vector<TokenScore> scores;
  std::unique_ptr<kernels::Workspace> workspace;
  std::unique_ptr<kernels::Graph> step;
};

}  // namespace kvg::model
