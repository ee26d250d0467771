// How a cache takes a prompt: whole, or layer by layer through observation, choice and encoding.

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"
#include "kvcompress/cache.h"

namespace kvg::kvcompress {

using kernels::HeadCursor;

bool KvCache::takes_whole(std::int32_t tokens) const {
  if (!straight_ || selection_->together() || evicts_by_scores_) {
    return false;
  }
  for (int layer = 0; layer < shape_.layers; ++layer) {
    const LayerShape fed{layer, shape_.layers, shape_.kv_heads, tokens};
    if (!has_even_heads(layouts_[static_cast<std::size_t>(layer)])) {
      return false;
    }
    for (int head = 0; head < shape_.kv_heads; ++head) {
      if (selection_->plan(fed, head).kept < tokens) {
        return false;
      }
    }
  }
  return true;
}

void KvCache::begin_prompt(std::int32_t tokens) {
  KVG_EXPECT(prompt_ == 0 && steps_ == 0, "a prompt is fed to an empty cache");
  KVG_EXPECT(tokens > 0 && tokens <= shape_.prompt, "the cache was planned for the prompt");
  prompt_ = tokens;
  make_cursors();
  backend_.upload(heads(0), cursors_.data(), cursors_.size() * sizeof(HeadCursor));
  if (selection_->redundancy()) {
    std::vector<HeadCursor> as_stored;
    for (int row = 0; row < shape_.batch; ++row) {
      for (int head = 0; head < shape_.kv_heads; ++head) {
        as_stored.push_back(
            {.start = head * tokens, .limit = tokens, .entries = tokens, .slot = tokens - 1});
      }
    }
    backend_.upload(
        at<HeadCursor>(at_.prompt_heads), as_stored.data(), as_stored.size() * sizeof(HeadCursor));
  }
}

bool KvCache::scores_layer(int layer) const {
  if (evicts_by_scores_) {
    return true;
  }
  const LayerShape fed = layer_shape(layer);
  for (int head = 0; head < shape_.kv_heads; ++head) {
    if (selection_->plan(fed, head).kept < prompt_) {
      return true;
    }
  }
  return false;
}

void KvCache::observe(const kernels::QueryChunk& chunk,
                      const kernels::KvView& kv,
                      const LayerParts& parts) {
  if (!scores_prompts_) {
    return;
  }
  kernels::Scoring& scoring = backend_.scoring();
  const bool first = chunk.past == 0 && chunk.first_row == 0;
  const auto kv_heads =
      static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.kv_heads);
  const auto queries =
      static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.heads);
  const auto dim = static_cast<std::size_t>(shape_.head_dim);
  if (needs_.window > 0) {
    scoring.keep_queries({.out = at<std::byte>(at_.queries),
                          .chunk = chunk,
                          .window = needs_.window,
                          .keys = prompt_});
  }
  if (codec_.keys.window > 0) {
    scoring.keep_queries({.out = at<std::byte>(at_.channel_queries),
                          .chunk = chunk,
                          .window = codec_.keys.window,
                          .keys = prompt_});
  }
  if (needs_.column_sums) {
    if (first) {
      scoring.clear(at<double>(at_.scores),
                    kv_heads * static_cast<std::size_t>(prompt_) * sizeof(double));
    }
    scoring.column_sums({.out = at<double>(at_.scores),
                         .chunk = chunk,
                         .kv = kv,
                         .keys = prompt_,
                         .scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)),
                         .reduce = needs_.reduce});
  }
  if (needs_.moments) {
    if (first) {
      scoring.clear(at<double>(at_.sums), queries * dim * sizeof(double));
      scoring.clear(at<double>(at_.products), queries * dim * dim * sizeof(double));
    }
    scoring.moments({.sums = at<double>(at_.sums),
                     .products = at<double>(at_.products),
                     .chunk = chunk,
                     .turn = parts.turn,
                     .skip = needs_.skip});
  }
}

PromptContext KvCache::context(int layer,
                               const kernels::KvView& prompt,
                               const LayerParts& parts) const {
  PromptContext context{.scoring = backend_.scoring(),
                        .scores = {.out = at<double>(at_.scores),
                                   .kv = prompt,
                                   .keys = prompt_,
                                   .shape = shape_.head_shape(),
                                   .batch = shape_.batch},
                        .layer = layer_shape(layer)};
  context.count = selection_->plan(context.layer, 0).kept;
  context.rows = at<float>(at_.rows);
  context.sums = at<double>(at_.sums);
  context.products = at<double>(at_.products);
  context.spare = at<double>(at_.spare);
  context.turn = parts.turn;
  context.output = parts.output;
  context.queries = at<std::byte>(at_.queries);
  context.logits = at<float>(at_.prompt_logits);
  context.scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
  context.prompt_keys = {.keys = {.form = kernels::native_form(shape_.dtype),
                                  .codes = prompt.keys,
                                  .channels = shape_.head_dim},
                         .heads = at<HeadCursor>(at_.prompt_heads),
                         .slots = std::int64_t{shape_.kv_heads} * prompt_,
                         .capacity = prompt_};
  return context;
}

void KvCache::choose(int layer, const PromptContext& context) {
  const LayerShape fed = layer_shape(layer);
  std::vector<std::int32_t> counts;
  for (int head = 0; head < shape_.kv_heads; ++head) {
    counts.push_back(selection_->plan(fed, head).kept);
  }
  const bool uneven =
      std::ranges::any_of(counts, [&](std::int32_t count) { return count != counts[0]; });
  if (uneven) {
    backend_.upload(
        at<std::int32_t>(at_.counts), counts.data(), counts.size() * sizeof(std::int32_t));
  }
  const bool sums = evicts_by_scores_ && rule_.update == kernels::Update::kSum;
  const std::int32_t recent = rule_.recent == kernels::kHalfOfBudget ? counts[0] / 2 : rule_.recent;
  backend_.scoring().choose(
      {.scores = context.scores.out,
       .keys = prompt_,
       .batch = shape_.batch,
       .kv_heads = shape_.kv_heads,
       .count = counts[0],
       .together = selection_->together(),
       .counts = uneven ? at<std::int32_t>(at_.counts) : nullptr,
       .by_age = sums && rule_.by_age,
       .recent = sums ? recent : 0,
       .heads = heads(layer),
       .slack = shape_.tokens - shape_.prompt,
       .align = align_,
       .kept = at<std::int32_t>(at_.kept),
       .kept_stride = at_.kept_stride,
       .slot_scores = evicts_by_scores_ ? of_layer<double>(layer, at_.slot_scores) : nullptr,
       .slot_positions =
           evicts_by_scores_ ? of_layer<std::int32_t>(layer, at_.slot_positions) : nullptr,
       .slots = layouts_[static_cast<std::size_t>(layer)].slots});
}

// Heads that shared a budget: how many entries each kept is known on the device alone.
void KvCache::settle_shared_cut(int layer) {
  const auto count =
      static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.kv_heads);
  const std::size_t first = static_cast<std::size_t>(layer) * count;
  backend_.download(&cursors_[first], heads(layer), count * sizeof(HeadCursor));
  for (std::size_t i = 0; i < count; ++i) {
    counts_[first + i].kept = cursors_[first + i].entries;
    settle_packed(layer, cursors_[first + i]);
  }
  backend_.upload(heads(layer), &cursors_[first], count * sizeof(HeadCursor));
}

void KvCache::keep_of_prompt(int layer, const kernels::KvView& prompt, const LayerParts& parts) {
  const PromptContext context = this->context(layer, prompt, parts);
  const bool cuts = scores_layer(layer);
  if (cuts) {
    if (needs_.rows) {
      backend_.scoring().window_rows({.out = at<float>(at_.rows),
                                      .query = context.queries,
                                      .kv = prompt,
                                      .window = needs_.window,
                                      .keys = prompt_,
                                      .shape = shape_.head_shape(),
                                      .batch = shape_.batch,
                                      .scale = context.scale});
    }
    selection_->score(context);
    choose(layer, context);
    if (selection_->together()) {
      settle_shared_cut(layer);
    }
  }
  const kernels::StoredView to = stored(layer);
  if (codec_.keys.pruned > 0.0) {
    const LayerLayout& layout = layouts_[static_cast<std::size_t>(layer)];
    backend_.scoring().choose_channels(
        {.channels =
             layers_[static_cast<std::size_t>(layer)].as<std::int16_t>(layout.keys.kept_channels),
         .count = layout.keys.channels,
         .query = at<std::byte>(at_.channel_queries),
         .window = codec_.keys.window,
         .kv = prompt,
         .keys = prompt_,
         .shape = shape_.head_shape(),
         .batch = shape_.batch});
  }
  backend_.store({.from = prompt,
                  .kept = cuts ? at<std::int32_t>(at_.kept) : nullptr,
                  .kept_stride = at_.kept_stride,
                  .to = to,
                  .shape = shape_.head_shape(),
                  .batch = shape_.batch});
  keep_for_steps(layer, context);
}

void KvCache::keep_for_steps(int layer, const PromptContext& context) const {
  const auto paging = selection_->paging();
  if (paging) {
    backend_.scoring().page_bounds({.bounds = of_layer<float>(layer, at_.bounds),
                                    .pages = at_.all_pages,
                                    .page = paging->page,
                                    .from = context.scores.kv,
                                    .keys = prompt_,
                                    .shape = shape_.head_shape(),
                                    .batch = shape_.batch});
  }
  if (const auto redundancy = selection_->redundancy()) {
    backend_.scoring().keep_logits({.out = of_layer<float>(layer, at_.logits),
                                    .in = at<float>(at_.prompt_logits),
                                    .kept = at<std::int32_t>(at_.kept),
                                    .kept_stride = at_.kept_stride,
                                    .heads = heads(layer),
                                    .capacity = layouts_[static_cast<std::size_t>(layer)].capacity,
                                    .keys = prompt_,
                                    .window = redundancy->window,
                                    .batch = shape_.batch,
                                    .kv_heads = shape_.kv_heads});
  }
}

void KvCache::finish_prompt() {
  // The cursor is at the last token of the prompt; one step further is the first after it.
  const kernels::StepCursor last{.position = prompt_ - 1, .sink_position = prompt_ - 1};
  backend_.upload(at<kernels::StepCursor>(at_.cursor), &last, sizeof(last));
  backend_.advance({.cursor = at<kernels::StepCursor>(at_.cursor),
                    .heads = heads(0),
                    .count = shape_.layers * shape_.batch * shape_.kv_heads,
                    .cache_positions = selection_->cache_positions()});
}

}  // namespace kvg::kvcompress
