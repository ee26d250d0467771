#include "kvcompress/cache.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::kvcompress {
namespace {

// The cursor and each list of slots start on a boundary of the device's allocator.
constexpr std::size_t kCursorBytes = 256;

std::size_t elements_per_side(const CacheShape& shape, std::int64_t slots) {
  return static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.kv_heads) *
         static_cast<std::size_t>(slots) * static_cast<std::size_t>(shape.head_dim);
}

std::size_t layer_bytes(const CacheShape& shape, std::int64_t slots) {
  return 2 * elements_per_side(shape, slots) * size_of(shape.dtype);
}

std::size_t list_bytes(std::int64_t slots) {
  return static_cast<std::size_t>(slots) * sizeof(std::int32_t);
}

}  // namespace

std::int64_t KvCache::slots(const Policy& policy, const CacheShape& shape) {
  const std::int64_t budget = policy.selection->budget();
  return budget == 0 ? shape.tokens : std::min<std::int64_t>(budget + 1, shape.tokens);
}

std::size_t KvCache::kv_bytes(const Policy& policy, const CacheShape& shape) {
  return static_cast<std::size_t>(shape.layers) * layer_bytes(shape, slots(policy, shape));
}

std::size_t KvCache::bookkeeping_bytes(const Policy& policy, const CacheShape& shape) {
  return kCursorBytes + 2 * list_bytes(slots(policy, shape));
}

KvCache::KvCache(kernels::Backend& backend, const Policy& policy, const CacheShape& shape)
    : backend_(backend),
      shape_(shape),
      rule_(policy.selection->slot_rule()),
      budget_(policy.selection->budget()),
      slots_(slots(policy, shape)),
      selection_(policy.selection) {
  KVG_EXPECT(shape.layers > 0 && shape.batch > 0 && shape.kv_heads > 0 && shape.head_dim > 0 &&
                 shape.tokens > 0,
             "a cache has at least one of everything");
  for (int layer = 0; layer < shape.layers; ++layer) {
    layers_.push_back(backend.pool().allocate(layer_bytes(shape, slots_), MemoryClass::kKv));
  }
  bookkeeping_ =
      backend.pool().allocate(bookkeeping_bytes(policy, shape), MemoryClass::kObservations);
  begin();
}

void KvCache::set_cursor(std::int32_t position) {
  const kernels::StepCursor cursor = kernels::cursor_at(position, rule_);
  backend_.upload(bookkeeping_.data(), &cursor, sizeof(cursor));
}

void KvCache::begin() {
  fed_ = 0;
  set_cursor(0);
}

void KvCache::enqueue_finish_step() {
  backend_.advance(bookkeeping_.as<kernels::StepCursor>(), rule_);
}

bool KvCache::takes_whole(std::int32_t tokens) const {
  return tokens <= slots_ && (budget_ == 0 || tokens <= budget_);
}

void KvCache::begin_prompt(std::int32_t tokens) {
  KVG_EXPECT(fed_ == 0, "a prompt is fed to an empty cache");
  KVG_EXPECT(tokens > 0 && tokens <= shape_.tokens, "the cache was planned for the prompt");
  const std::vector<std::int32_t> from = selection_->keep_of_prompt(tokens);
  std::vector<std::int32_t> to(from.size());
  std::ranges::transform(from, to.begin(), [&](std::int32_t position) {
    return kernels::cursor_at(position, rule_).slot;
  });
  kept_ = static_cast<int>(from.size());
  backend_.upload(bookkeeping_.as<std::int32_t>(kCursorBytes), from.data(), 4 * from.size());
  backend_.upload(
      bookkeeping_.as<std::int32_t>(kCursorBytes + list_bytes(slots_)), to.data(), 4 * to.size());
}

void KvCache::keep_of_prompt(int layer, const kernels::KvView& prompt) {
  backend_.keep_entries(
      {.from = prompt,
       .to = this->layer(layer),
       .from_slots = bookkeeping_.as<std::int32_t>(kCursorBytes),
       .to_slots = bookkeeping_.as<std::int32_t>(kCursorBytes + list_bytes(slots_)),
       .count = kept_,
       .batch = shape_.batch,
       .kv_heads = shape_.kv_heads,
       .head_dim = shape_.head_dim});
}

void KvCache::finish_prompt(std::int32_t tokens) {
  fed_ = tokens;
  set_cursor(tokens);
}

kernels::KvView KvCache::layer(int layer) const {
  const Buffer& buffer = layers_.at(static_cast<std::size_t>(layer));
  const std::int64_t head_stride = slots_ * shape_.head_dim;
  return {.keys = buffer.data(),
          .values = buffer.as<std::byte>(buffer.bytes() / 2),
          .dtype = shape_.dtype,
          .batch_stride = head_stride * shape_.kv_heads,
          .head_stride = head_stride};
}

const kernels::StepCursor* KvCache::cursor() const {
  return bookkeeping_.as<kernels::StepCursor>();
}

double KvCache::mean_entries() const {
  return static_cast<double>(budget_ == 0 ? fed_ : std::min<std::int64_t>(budget_, fed_));
}

}  // namespace kvg::kvcompress
