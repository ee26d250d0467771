#include "model/run_plan.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "model/checkpoint.h"

namespace kvg::model {
namespace {

// Features of the widest projection of a layer.
int widest(const Config& config) {
  const int qkv = (config.heads.heads + 2 * config.heads.kv_heads) * config.heads.head_dim;
  const int up = config.intermediate * (kernels::is_gated(config.activation) ? 2 : 1);
  return std::max({qkv, up, config.hidden});
}

}  // namespace

std::optional<kernels::Visibility> pass_of(const Config& config,
                                           const kvcompress::Policy& policy,
                                           const RunShape& shape,
                                           DType compute) {
  if (!shape.texts) {
    return {};
  }
  const auto sees = kvcompress::fixed_visibility(policy, config.heads.head_dim, compute);
  // A window that no text outgrows is no window, and its sinks are looked at from where they lie:
  // what keeps everything runs as the baseline does, to the bit.
  return sees && sees->first_of(shape.tokens - 1) <= sees->sinks ? kernels::Visibility{} : sees;
}

RunShape planned_shape(const RunShape& shape, bool in_one_pass) {
  RunShape planned = shape;
  if (in_one_pass) {
    planned.prompt = shape.tokens;
  }
  return planned;
}

void check_run(const Config& config,
               const kvcompress::Policy& policy,
               const RunShape& shape,
               DType compute) {
  KVG_EXPECT(shape.batch > 0 && shape.tokens > 0 && shape.prompt >= 0 && shape.chunk >= 0,
             "a run has at least one row and one token");
  KVG_EXPECT(shape.prompt <= shape.tokens && shape.shortest_prompt <= shape.prompt,
             "the prompt is part of the tokens fed");
  KVG_EXPECT(!shape.texts || shape.prompt == 0, "texts that are scored have no prompt");
  if (config.sliding_window && shape.tokens > *config.sliding_window) {
    throw InvalidArgument("model " + config.name + " was trained with sliding_window=" +
                          std::to_string(*config.sliding_window) +
                          ", which is not supported beyond that length; this run feeds " +
                          std::to_string(shape.tokens) + " tokens");
  }
  kvcompress::check_policy(policy, config.layers, config.heads, compute);
  // Of a shorter prompt a share may be less than the window that it holds: then that much stays.
  policy.selection->check_prompt(shape.prompt);
}

kvcompress::CacheShape cache_shape(const Config& config, const RunShape& shape, DType compute) {
  return {.layers = config.layers,
          .batch = shape.batch,
          .heads = config.heads.heads,
          .kv_heads = config.heads.kv_heads,
          .head_dim = config.heads.head_dim,
          .tokens = shape.tokens,
          .dtype = compute,
          .prompt = shape.prompt,
          .shortest_prompt = shape.shortest_prompt};
}

Extras extras_of(const kvcompress::Policy& policy, const kvcompress::CacheShape& cache) {
  return {.prompt_kv = kvcompress::KvCache::needs_prompt_room(policy, cache),
          .future = policy.selection->needs(cache.feed()).future};
}

Extras extras_of_pass(const kvcompress::Policy& policy, const kernels::Visibility& sees) {
  return {.prompt_kv = true,
          .future = 0,
          .pass = true,
          .sink_queries = sees.sinks > 0 && policy.selection->cache_positions()};
}

kernels::WorkspaceShape workspace_shape_of_pass(const Config& config, const RunShape& shape) {
  const Chunking chunk = chunking(shape);
  return {.batch = 1,
          .rows = chunk.batch * chunk.tokens,
          .hidden = config.hidden,
          .features = widest(config),
          .heads = config.heads,
          .entries = shape.tokens};
}

kernels::WorkspaceShape workspace_shape(const Config& config,
                                        const kvcompress::Policy& policy,
                                        const RunShape& shape,
                                        DType compute) {
  const Chunking chunk = chunking(shape);
  const kvcompress::ScoredSizes scored =
      kvcompress::scored_sizes(policy, cache_shape(config, shape, compute));
  return {.batch = shape.batch,
          .rows = std::max(shape.batch, chunk.batch * chunk.tokens),
          .hidden = config.hidden,
          .features = widest(config),
          .heads = config.heads,
          .entries = shape.tokens,
          .scored_keys = scored.keys,
          .scored_slots = scored.slots,
          .scored_pages = scored.pages};
}

}  // namespace kvg::model
