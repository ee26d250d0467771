#include "kvcompress/observations.h"

#include <algorithm>

namespace kvg::kvcompress {
namespace {

constexpr std::size_t kAlignment = 256;

class Bytes {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t at = end_;
    end_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  [[nodiscard]] std::size_t end() const { return end_; }

 private:
  std::size_t end_ = 0;
};

// Products of a shape's sizes.
struct Counts {
  explicit Counts(const CacheShape& shape)
      : query_heads(size(shape.batch) * size(shape.heads)),
        kv_heads(size(shape.batch) * size(shape.kv_heads)),
        head_dim(size(shape.head_dim)),
        prompt(size(shape.prompt)) {}

  template <typename Integer>
  static std::size_t size(Integer value) {
    return static_cast<std::size_t>(value);
  }

  std::size_t query_heads;  ///< of all rows
  std::size_t kv_heads;     ///< of all rows
  std::size_t head_dim;
  std::size_t prompt;
};

// The most of any layer.
struct LayerMost {
  std::int64_t capacity = 0;  ///< slots of one head
  std::int64_t slots = 0;     ///< of a batch row
};

LayerMost most_of_layers(const Policy& policy, const CacheShape& shape) {
  LayerMost most;
  for (int layer = 0; layer < shape.layers; ++layer) {
    const LayerLayout layout = lay_out_layer(policy, shape, layer);
    most.capacity = std::max(most.capacity, layout.capacity);
    most.slots = std::max(most.slots, layout.slots);
  }
  return most;
}

bool evicts_by_scores(const Policy& policy, const CacheShape& shape) {
  return policy.selection->leaving() == Leaving::kScores &&
         policy.selection->evicts({0, shape.layers, shape.kv_heads, shape.prompt});
}

// What a prompt needs that has to be cut, or whose scores the steps go on from.
void take_prompt(const Policy& policy,
                 const CacheShape& shape,
                 Bytes& bytes,
                 ObservationLayout& at) {
  const Counts count(shape);
  const Needs needs = policy.selection->needs(Feed::kPrompt);
  const auto window = Counts::size(needs.window);
  const std::size_t query = count.query_heads * count.head_dim * size_of(shape.dtype);
  const std::size_t scores = count.kv_heads * count.prompt * sizeof(double);
  at.kept_stride = shape.prompt;
  at.prompt_heads = bytes.take(count.kv_heads * sizeof(kernels::HeadCursor));
  at.counts = bytes.take(Counts::size(shape.kv_heads) * sizeof(std::int32_t));
  at.kept = bytes.take(count.kv_heads * count.prompt * sizeof(std::int32_t));
  at.queries = bytes.take(window * query);
  at.channel_queries = bytes.take(Counts::size(policy.codec.keys.window) * query);
  at.rows = bytes.take(needs.rows ? count.query_heads * count.prompt * sizeof(float) : 0);
  at.scores = bytes.take(scores);
  at.spare = bytes.take(needs.spare_scores ? scores : 0);
  const std::size_t moments =
      needs.moments ? count.query_heads * count.head_dim * sizeof(double) : 0;
  at.sums = bytes.take(moments);
  at.products = bytes.take(moments * count.head_dim);
  const bool redundancy = policy.selection->redundancy().has_value();
  at.prompt_logits =
      bytes.take(redundancy ? window * count.kv_heads * count.prompt * sizeof(float) : 0);
}

void take_steps(const Policy& policy,
                const CacheShape& shape,
                Bytes& bytes,
                ObservationLayout& at) {
  const Counts count(shape);
  const auto capacity = Counts::size(at.capacity);
  const bool native = writes_straight(policy, shape);
  at.newest = bytes.take(native ? 0 : 2 * count.kv_heads * count.head_dim * size_of(shape.dtype));
  const bool scores = policy.selection->needs(shape.feed()).step_scores;
  at.step_scores = bytes.take(scores ? count.query_heads * capacity * sizeof(float) : 0);
  const auto paging = policy.selection->paging();
  if (paging) {
    at.all_pages = static_cast<int>((at.capacity + paging->page - 1) / paging->page);
    // A budget for everything also reads the last page, which may be part filled.
    at.pages_read = paging->budget >= at.capacity ? at.all_pages
                                                  : static_cast<int>(paging->budget / paging->page);
  }
  at.pages = bytes.take(count.kv_heads * Counts::size(at.pages_read) * sizeof(std::int32_t));
}

void take_layer(const Policy& policy,
                const CacheShape& shape,
                Bytes& bytes,
                ObservationLayout& at) {
  const Counts count(shape);
  const auto slots = Counts::size(shape.batch) * Counts::size(at.slots);
  const bool scored = evicts_by_scores(policy, shape);
  at.slot_scores = bytes.take(scored ? slots * sizeof(double) : 0);
  at.slot_positions = bytes.take(scored ? slots * sizeof(std::int32_t) : 0);
  const auto redundancy = policy.selection->redundancy();
  const std::size_t window = redundancy ? Counts::size(redundancy->window) : 0;
  at.logits = bytes.take(window * count.kv_heads * Counts::size(at.capacity) * sizeof(float));
  at.bounds =
      bytes.take(count.kv_heads * Counts::size(at.all_pages) * 2 * count.head_dim * sizeof(float));
}

}  // namespace

bool writes_straight(const Policy& policy, const CacheShape& shape) {
  const kernels::Form native = kernels::native_form(shape.dtype);
  return form_of(policy.codec.keys, shape.head_dim, shape.dtype) == native &&
         form_of(policy.codec.values, shape.head_dim, shape.dtype) == native &&
         !policy.codec.append_only() && !policy.selection->paging();
}

bool scores_prompts(const Policy& policy, const CacheShape& shape) {
  if (shape.prompt == 0) {
    return false;
  }
  if (evicts_by_scores(policy, shape) || policy.codec.needs_prompt()) {
    return true;
  }
  for (const std::int32_t prompt : {shape.prompt, std::max(shape.shortest_prompt, 1)}) {
    for (int layer = 0; layer < shape.layers; ++layer) {
      for (int head = 0; head < shape.kv_heads; ++head) {
        if (policy.selection->plan({layer, shape.layers, shape.kv_heads, prompt}, head).kept <
            prompt) {
          return true;
        }
      }
    }
  }
  return false;
}

ObservationLayout lay_out_observations(const Policy& policy, const CacheShape& shape) {
  Bytes bytes;
  ObservationLayout at;
  const LayerMost most = most_of_layers(policy, shape);
  at.capacity = most.capacity;
  at.slots = most.slots;
  at.cursor = bytes.take(sizeof(kernels::StepCursor));
  at.heads = bytes.take(static_cast<std::size_t>(shape.layers) * Counts(shape).kv_heads *
                        sizeof(kernels::HeadCursor));
  if (scores_prompts(policy, shape)) {
    take_prompt(policy, shape, bytes, at);
  }
  take_steps(policy, shape, bytes, at);
  at.layers = bytes.end();
  Bytes layer;
  take_layer(policy, shape, layer, at);
  at.layer_stride = layer.end();
  at.total = at.layers + static_cast<std::size_t>(shape.layers) * at.layer_stride;
  return at;
}

ScoredSizes scored_sizes(const Policy& policy, const CacheShape& shape) {
  ScoredSizes sizes;
  if (scores_prompts(policy, shape)) {
    sizes.keys = shape.prompt;
  }
  if (policy.selection->redundancy()) {
    // A prompt is scored whole, before its cut.
    sizes.slots = std::max<std::int64_t>(most_of_layers(policy, shape).capacity, shape.prompt);
  }
  if (const auto paging = policy.selection->paging()) {
    sizes.pages = (most_of_layers(policy, shape).capacity + paging->page - 1) / paging->page;
  }
  return sizes;
}

}  // namespace kvg::kvcompress
