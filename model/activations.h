#pragma once

#include <cstddef>

#include "model/runner.h"

namespace kvg::model {

/// Rows of a prompt that are computed at once, for all batch rows or one of them.
struct Chunking {
  int batch = 1;   ///< batch rows in one call: all of them, or 1
  int tokens = 0;  ///< prompt tokens of each in one call
};

[[nodiscard]] Chunking chunking(const RunShape& shape);

/// Prompts of this length that one chunk holds, at least 1.
[[nodiscard]] int rows_of_a_chunk(const RunShape& shape);

/// Rows whose logits one pass over texts holds at once.
[[nodiscard]] int logit_rows(const Config& config, const RunShape& shape);

/// What a layer passes on between its operations; offsets in bytes. Rows are those of a step, or of
/// a prompt's chunk.
struct LayerBuffers {
  std::size_t attended = 0;    ///< [rows, heads, head_dim]
  std::size_t query = 0;       ///< [rows, heads, head_dim]
  std::size_t sink_query = 0;  ///< [rows, heads, head_dim]; a prompt's with Extras::sink_queries
  std::size_t mlp = 0;         ///< [rows, intermediate]
};

/// Where each activation lies in the one buffer that a runner holds; offsets in bytes.
struct Activations {
  std::size_t residual = 0;  ///< [rows, or with Extras::prompt_kv whole prompts, hidden], f32
  LayerBuffers step;         ///< without Extras::pass
  /// `mlp` lies over the queries, and over `attended` unless the MLP runs beside the attention; the
  /// logits of a pass lie over all of it. (Steps are small, and what lies apart may run at once.)
  LayerBuffers prompt;
  std::size_t logits = 0;     ///< [batch, or logit_rows() with Extras::pass, vocab], f32
  std::size_t rope = 0;       ///< [tokens + future, rotary_dim / 2, 2], f32
  std::size_t prompt_kv = 0;  ///< [2, batch, kv_heads, prompt, head_dim], with Extras::prompt_kv
  std::size_t total = 0;
};

/// What a policy asks of the activations.
struct Extras {
  /// Prompts go through layer by layer, and a layer is held whole beside the cache. Else they go
  /// through chunk by chunk.
  bool prompt_kv = false;
  std::int32_t future = 0;    ///< positions beyond the run that RoPE's table has
  bool pass = false;          ///< every token of a prompt is scored, none is cached
  bool sink_queries = false;  ///< in a pass, some look at sinks from another position
};

/// Where the parts of the memory that the host and the device share lie; offsets in bytes. It
/// begins with the tokens [batch, max(prompt, 1)].
struct IoLayout {
  std::size_t targets = 0;  ///< [scored]
  std::size_t best = 0;     ///< [scored]
  std::size_t nll = 0;      ///< [scored]
  std::size_t total = 0;
  std::size_t scored = 0;  ///< rows: one a batch row, or in a pass one a token
};

[[nodiscard]] IoLayout lay_out_io(const RunShape& shape, bool pass);

[[nodiscard]] Activations lay_out(const Config& config,
                                  const RunShape& shape,
                                  DType compute,
                                  const Extras& extras);

}  // namespace kvg::model
