#include "kvcompress/cache.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::kvcompress {

using kernels::HeadCursor;

std::size_t KvCache::kv_bytes(const Policy& policy, const CacheShape& shape) {
  std::size_t bytes = 0;
  for (int layer = 0; layer < shape.layers; ++layer) {
    bytes += lay_out_layer(policy, shape, layer).bytes;
  }
  return bytes;
}

std::size_t KvCache::observation_bytes(const Policy& policy, const CacheShape& shape) {
  return lay_out_observations(policy, shape).total;
}

bool KvCache::needs_prompt_room(const Policy& policy, const CacheShape& shape) {
  if (shape.prompt == 0) {
    return false;
  }
  if (scores_prompts(policy, shape) || !writes_straight(policy, shape) ||
      policy.selection->together()) {
    return true;
  }
  for (int layer = 0; layer < shape.layers; ++layer) {
    if (!has_even_heads(lay_out_layer(policy, shape, layer))) {
      return true;
    }
  }
  return false;
}

KvCache::KvCache(kernels::Backend& backend, const Policy& policy, const CacheShape& shape)
    : backend_(backend),
      shape_(shape),
      selection_(policy.selection),
      codec_(policy.codec),
      rule_(policy.selection->evict_rule()),
      needs_(policy.selection->needs(shape.feed())),
      straight_(writes_straight(policy, shape)),
      scores_prompts_(scores_prompts(policy, shape)),
      align_(slot_alignment(policy, shape)),
      at_(lay_out_observations(policy, shape)) {
  KVG_EXPECT(shape.layers > 0 && shape.batch > 0 && shape.kv_heads > 0 && shape.head_dim > 0 &&
                 shape.tokens > 0 && shape.prompt <= shape.tokens,
             "a cache has at least one of everything");
  for (int layer = 0; layer < shape.layers; ++layer) {
    layouts_.push_back(lay_out_layer(policy, shape, layer));
    layers_.push_back(backend.pool().allocate(layouts_.back().bytes, MemoryClass::kKv));
    keep_first_channels(layer);
  }
  observations_ = backend.pool().allocate(at_.total, MemoryClass::kObservations);
  const HeadPlan plan = selection_->plan(layer_shape(0), 0);
  turned_sinks_ = selection_->cache_positions() ? plan.sinks : 0;
  evicts_by_scores_ =
      selection_->leaving() == Leaving::kScores && selection_->evicts(layer_shape(0));
  begin();
}

KeptEntries kept_of_steps(const Policy& policy, const CacheShape& shape, std::int32_t steps) {
  KeptEntries kept{.mean = 0.0, .min = steps, .max = 0};
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      const LayerShape fed{layer, shape.layers, shape.kv_heads, 0};
      const std::int64_t budget = policy.selection->plan(fed, head).budget;
      const std::int64_t entries = budget == 0 ? steps : std::min<std::int64_t>(budget, steps);
      kept.mean += static_cast<double>(entries);
      kept.min = std::min(kept.min, entries);
      kept.max = std::max(kept.max, entries);
    }
  }
  kept.mean /= static_cast<double>(shape.layers * shape.kv_heads);
  return kept;
}

// A step before any prompt gathers the query's channels too, so the list names some.
void KvCache::keep_first_channels(int layer) {
  const SideLayout& keys = layouts_[static_cast<std::size_t>(layer)].keys;
  if (!keys.is_pruned) {
    return;
  }
  std::vector<std::int16_t> channels;
  for (int head = 0; head < shape_.batch * shape_.kv_heads; ++head) {
    for (int channel = 0; channel < keys.channels; ++channel) {
      channels.push_back(static_cast<std::int16_t>(channel));
    }
  }
  backend_.upload(layers_[static_cast<std::size_t>(layer)].as<std::int16_t>(keys.kept_channels),
                  channels.data(),
                  channels.size() * sizeof(std::int16_t));
}

LayerShape KvCache::layer_shape(int layer) const {
  return {.layer = layer,
          .layers = shape_.layers,
          .kv_heads = shape_.kv_heads,
          .prompt = prompt_ > 0 ? prompt_ : shape_.prompt};
}

HeadCursor* KvCache::heads(int layer) const {
  return at<HeadCursor>(at_.heads) +
         static_cast<std::ptrdiff_t>(layer) * shape_.batch * shape_.kv_heads;
}

// The cursor of a head that keeps what `plan` says, before the next entry.
HeadCursor KvCache::first_cursor(int layer, int kv_head, const HeadPlan& plan) const {
  const HeadRoom& room =
      layouts_[static_cast<std::size_t>(layer)].heads[static_cast<std::size_t>(kv_head)];
  HeadCursor head{.start = room.start,
                  .limit = plan.budget > 0 ? static_cast<std::int32_t>(std::min<std::int64_t>(
                                                 plan.budget + 1, kernels::kUnlimited))
                                           : room.capacity,
                  .sinks = static_cast<std::int32_t>(plan.sinks),
                  .entries = plan.kept,
                  .slot = plan.kept - 1};
  settle_packed(layer, head);
  return head;
}

// Of `entries` in a head that kept `kept` of the prompt; kUnlimited: none ever waits.
KvCache::Packed KvCache::packed_of(int layer, std::int64_t kept, std::int64_t entries) const {
  const LayerLayout& layout = layouts_[static_cast<std::size_t>(layer)];
  Packed packed;
  if (codec_.keys.pruned > 0.0) {
    packed.keys = std::max<std::int64_t>(kept - codec_.keys.recent, 0);
  } else if (layout.keys.waiting_slots > 0) {
    packed.keys = entries / layout.keys.waiting_slots * layout.keys.waiting_slots;
  }
  if (layout.values.waiting_slots > 0) {
    packed.values = std::max<std::int64_t>(entries - (layout.values.waiting_slots - 1), 0);
  }
  return packed;
}

void KvCache::settle_packed(int layer, HeadCursor& head) const {
  const Packed packed = packed_of(layer, head.entries, head.entries);
  head.packed_keys = static_cast<std::int32_t>(packed.keys);
  head.packed_values = static_cast<std::int32_t>(packed.values);
}

// Every head's cursor for the entries kept of prompt_ tokens; not yet moved to the next step.
void KvCache::make_cursors() {
  cursors_.clear();
  counts_.clear();
  for (int layer = 0; layer < shape_.layers; ++layer) {
    LayerShape fed = layer_shape(layer);
    fed.prompt = prompt_;
    for (int row = 0; row < shape_.batch; ++row) {
      for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
        const HeadPlan plan = selection_->plan(fed, kv_head);
        counts_.push_back({.kept = plan.kept, .budget = plan.budget});
        cursors_.push_back(first_cursor(layer, kv_head, plan));
      }
    }
  }
}

void KvCache::begin() {
  prompt_ = 0;
  steps_ = 0;
  make_cursors();
  // next_of() of an empty head.
  for (HeadCursor& head : cursors_) {
    head.entries = 1;
    head.slot = 0;
  }
  backend_.upload(heads(0), cursors_.data(), cursors_.size() * sizeof(HeadCursor));
  const kernels::StepCursor first{};
  backend_.upload(at<kernels::StepCursor>(at_.cursor), &first, sizeof(first));
  if (selection_->redundancy()) {
    for (int layer = 0; layer < shape_.layers; ++layer) {
      backend_.scoring().clear(of_layer<float>(layer, at_.logits), at_.layer_stride - at_.logits);
    }
  }
}

kernels::StoredView KvCache::stored(int layer) const {
  const auto index = static_cast<std::size_t>(layer);
  return view_of(layouts_.at(index), layers_.at(index), heads(layer));
}

kernels::KvView KvCache::layer(int layer) const {
  const kernels::StoredView view = stored(layer);
  const std::int64_t head_stride = view.capacity * shape_.head_dim;
  return {.keys = view.keys.codes,
          .values = view.values.codes,
          .dtype = shape_.dtype,
          .batch_stride = view.slots * shape_.head_dim,
          .head_stride = head_stride};
}

kernels::KvView KvCache::step_target(int layer) const {
  if (straight_) {
    return this->layer(layer);
  }
  const std::int64_t batch_stride = std::int64_t{shape_.kv_heads} * shape_.head_dim;
  const std::size_t side =
      static_cast<std::size_t>(shape_.batch * batch_stride) * size_of(shape_.dtype);
  return {.keys = at<std::byte>(at_.newest),
          .values = at<std::byte>(at_.newest + side),
          .dtype = shape_.dtype,
          .batch_stride = batch_stride,
          .head_stride = shape_.head_dim};
}

const HeadCursor* KvCache::step_heads(int layer) const {
  return straight_ ? heads(layer) : nullptr;
}

void KvCache::enqueue_append(int layer) const {
  if (straight_) {
    return;
  }
  const kernels::KvView newest = step_target(layer);
  backend_.append(
      {.from = newest, .to = stored(layer), .shape = shape_.head_shape(), .batch = shape_.batch});
  if (const auto paging = selection_->paging()) {
    backend_.scoring().page_bounds({.bounds = of_layer<float>(layer, at_.bounds),
                                    .pages = at_.all_pages,
                                    .page = paging->page,
                                    .from = newest,
                                    .heads = heads(layer),
                                    .shape = shape_.head_shape(),
                                    .batch = shape_.batch});
  }
}

kernels::PageView KvCache::enqueue_pages(int layer, const void* query) const {
  const auto paging = selection_->paging();
  if (!paging || layer < paging->dense_layers) {
    return {};
  }
  backend_.scoring().choose_pages({.pages = at<std::int32_t>(at_.pages),
                                   .count = at_.pages_read,
                                   .bounds = of_layer<float>(layer, at_.bounds),
                                   .all_pages = at_.all_pages,
                                   .page = paging->page,
                                   .query = query,
                                   .heads = heads(layer),
                                   .shape = shape_.head_shape(),
                                   .batch = shape_.batch});
  return {.pages = at<std::int32_t>(at_.pages), .count = at_.pages_read, .page = paging->page};
}

float* KvCache::step_scores() const {
  return needs_.step_scores ? at<float>(at_.step_scores) : nullptr;
}

void KvCache::enqueue_after_attend(int layer) const {
  const kernels::StoredView view = stored(layer);
  // Pruned keys wait for good.
  if (view.keys.form.per_channel || view.values.waiting_slots > 0) {
    backend_.settle({.kv = view, .shape = shape_.head_shape(), .batch = shape_.batch});
  }
  if (!evicts_by_scores_) {
    return;
  }
  if (const auto redundancy = selection_->redundancy()) {
    backend_.scoring().redundancy({.scores = of_layer<double>(layer, at_.slot_scores),
                                   .positions = of_layer<std::int32_t>(layer, at_.slot_positions),
                                   .keys = view,
                                   .logits = of_layer<float>(layer, at_.logits),
                                   .rows = step_scores(),
                                   .cursor = cursor(),
                                   .shape = shape_.head_shape(),
                                   .batch = shape_.batch,
                                   .window = redundancy->window,
                                   .kernel = redundancy->kernel,
                                   .lambda = redundancy->lambda});
  }
  backend_.scoring().evict({.cursor = cursor(),
                            .heads = heads(layer),
                            .scores = of_layer<double>(layer, at_.slot_scores),
                            .positions = of_layer<std::int32_t>(layer, at_.slot_positions),
                            .slots = view.slots,
                            .rows = step_scores(),
                            .capacity = view.capacity,
                            .shape = shape_.head_shape(),
                            .batch = shape_.batch,
                            .update = rule_.update,
                            .reduce = rule_.reduce,
                            .by_age = rule_.by_age,
                            .recent = rule_.recent,
                            .seed = rule_.seed,
                            .layer = layer});
}

void KvCache::enqueue_finish_step() const {
  const bool moves_heads = !evicts_by_scores_;
  backend_.advance({.cursor = at<kernels::StepCursor>(at_.cursor),
                    .heads = heads(0),
                    .count = moves_heads ? shape_.layers * shape_.batch * shape_.kv_heads : 0,
                    .cache_positions = selection_->cache_positions()});
}

const kernels::StepCursor* KvCache::cursor() const {
  return at<kernels::StepCursor>(at_.cursor);
}

std::int64_t KvCache::entries_of(const HeadCount& head) const {
  const std::int64_t all = std::int64_t{head.kept} + steps_;
  return head.budget == 0 ? all : std::min(head.budget, all);
}

double KvCache::mean_entries() const {
  double sum = 0.0;
  for (const HeadCount& head : counts_) {
    sum += static_cast<double>(entries_of(head));
  }
  return sum / static_cast<double>(counts_.size());
}

KeptEntries KvCache::kept_entries() const {
  KeptEntries kept{.mean = 0.0, .min = std::numeric_limits<std::int64_t>::max(), .max = 0};
  for (const HeadCount& head : counts_) {
    const std::int64_t entries = prompt_ > 0 ? head.kept : entries_of(head);
    kept.mean += static_cast<double>(entries);
    kept.min = std::min(kept.min, entries);
    kept.max = std::max(kept.max, entries);
  }
  kept.mean /= static_cast<double>(counts_.size());
  return kept;
}

double KvCache::bits_per_element() const {
  double bits = 0.0;
  double elements = 0.0;
  for (const LayerLayout& layout : layouts_) {
    bits += 8.0 * static_cast<double>(layout.bytes);
    elements += 2.0 * static_cast<double>(layout.slots) * shape_.batch * shape_.head_dim;
  }
  return bits / elements;
}

// Of `entries` in a head's pages the newest page, which grows by one in the next step, and those
// with the largest bounds.
std::int64_t KvCache::entries_in_pages(std::int64_t entries) const {
  const int page = selection_->paging()->page;
  const std::int64_t older = entries / page;
  return older < at_.pages_read ? entries
                                : std::int64_t{at_.pages_read - 1} * page + entries % page;
}

double KvCache::step_read_bytes() const {
  const auto paging = selection_->paging();
  double bytes = 0.0;
  const std::size_t per_layer = counts_.size() / static_cast<std::size_t>(shape_.layers);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const auto layer = static_cast<int>(i / per_layer);
    std::int64_t entries = entries_of(counts_[i]);
    const Packed packed = packed_of(layer, counts_[i].kept, entries);
    if (paging && layer >= paging->dense_layers) {
      // The newest page is read whatever its bound is.
      const auto bounds = static_cast<double>(entries / paging->page);
      bytes += bounds * 2.0 * shape_.head_dim * sizeof(float);
      entries = entries_in_pages(entries);
    }
    const auto side = [&](const SideLayout& layout, std::int64_t most) {
      const auto in_form = static_cast<double>(std::min(entries, most));
      return read_bytes(layout, in_form, static_cast<double>(entries) - in_form, shape_);
    };
    const LayerLayout& layout = layouts_[static_cast<std::size_t>(layer)];
    bytes += side(layout.keys, packed.keys) + side(layout.values, packed.values);
  }
  return bytes;
}

}  // namespace kvg::kvcompress
