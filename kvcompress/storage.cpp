#include "kvcompress/storage.h"

#include <algorithm>
#include <limits>

namespace kvg::kvcompress {
namespace {

// Parts of a layer start where 16-byte words may be loaded.
constexpr std::size_t kAlignment = 16;

constexpr std::int32_t rounded_up(std::int32_t value, std::int32_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

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

// Slots of one head that holds what `plan` says and takes so many steps.
std::int32_t room_for(const HeadPlan& plan, std::int32_t steps) {
  const std::int32_t appended = plan.kept + steps;
  if (plan.budget == 0) {
    return appended;
  }
  // The newest comes on top of the budget.
  return static_cast<std::int32_t>(std::min<std::int64_t>(plan.budget + 1, appended));
}

std::int32_t room_of(const Policy& policy, const CacheShape& shape, int layer, int kv_head) {
  const std::int32_t steps = shape.tokens - shape.prompt;
  std::int32_t room = 0;
  // Every length counts: of a shorter prompt a layer may keep more (pyramidkv).
  for (std::int32_t prompt = shape.shortest_prompt > 0 ? shape.shortest_prompt : shape.prompt;
       prompt <= shape.prompt;
       ++prompt) {
    const HeadPlan plan =
        policy.selection->plan({layer, shape.layers, shape.kv_heads, prompt}, kv_head);
    room = std::max(room, room_for(plan, steps));
  }
  return room;
}

// Pruned keys: only what a prompt leaves beyond `recent` is ever packed. Heads that share a budget
// may each hold nearly all of it, so they keep the rows of their slots.
std::int32_t packed_rows(const SideCodec& codec,
                         const CacheShape& shape,
                         const LayerLayout& layer,
                         bool together) {
  if (codec.pruned == 0.0 || together) {
    return 0;
  }
  const std::int64_t kept = layer.capacity - (shape.tokens - shape.prompt);
  return static_cast<std::int32_t>(std::max<std::int64_t>(kept - codec.recent, 1));
}

SideLayout lay_out_side(const SideCodec& codec,
                        const CacheShape& shape,
                        const LayerLayout& layer,
                        std::int32_t head_rows,
                        Bytes& bytes) {
  SideLayout side{.form = form_of(codec, shape.head_dim, shape.dtype),
                  .channels = channels_of(codec, shape.head_dim),
                  .waiting_slots = codec.waiting,
                  .head_rows = head_rows,
                  .is_pruned = codec.pruned > 0.0};
  const auto slots = static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(layer.slots);
  const auto heads =
      static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.kv_heads);
  const std::size_t rows = head_rows > 0 ? heads * static_cast<std::size_t>(head_rows) : slots;
  if (codec.pruned > 0.0) {
    // All that comes after the prompt keeps its channels.
    side.waiting_slots = codec.recent + shape.tokens - shape.prompt;
    side.waiting_slots =
        static_cast<std::int32_t>(std::min<std::int64_t>(side.waiting_slots, layer.capacity));
  }
  const std::size_t scale_rows =
      side.form.per_channel ? rows / static_cast<std::size_t>(side.form.group) : rows;
  side.codes = bytes.take(rows * kernels::code_row_bytes(side.form, side.channels));
  side.scales = bytes.take(scale_rows * kernels::scale_row_bytes(side.form, side.channels));
  side.waiting = bytes.take(heads * static_cast<std::size_t>(side.waiting_slots) *
                            static_cast<std::size_t>(shape.head_dim) * size_of(shape.dtype));
  side.kept_channels = bytes.take(
      codec.pruned > 0.0 ? heads * static_cast<std::size_t>(side.channels) * sizeof(std::int16_t)
                         : 0);
  return side;
}

kernels::StoredSide side_of(const SideLayout& side, const Buffer& buffer) {
  return {.form = side.form,
          .codes = buffer.as<std::byte>(side.codes),
          .scales = side.form.group > 0 ? buffer.as<std::byte>(side.scales) : nullptr,
          .waiting = side.waiting_slots > 0 ? buffer.as<std::byte>(side.waiting) : nullptr,
          .waiting_slots = side.waiting_slots,
          .channels = side.channels,
          .head_rows = side.head_rows};
}

}  // namespace

std::int32_t slot_alignment(const Policy& policy, const CacheShape& shape) {
  const kernels::Form form = form_of(policy.codec.keys, shape.head_dim, shape.dtype);
  return form.per_channel ? form.group : 1;
}

LayerLayout lay_out_layer(const Policy& policy, const CacheShape& shape, int layer) {
  const std::int32_t align = slot_alignment(policy, shape);
  LayerLayout layout;
  for (int head = 0; head < shape.kv_heads; ++head) {
    const HeadRoom room{.start = static_cast<std::int32_t>(layout.slots),
                        .capacity = rounded_up(room_of(policy, shape, layer, head), align)};
    layout.heads.push_back(room);
    layout.slots += room.capacity;
    layout.capacity = std::max<std::int64_t>(layout.capacity, room.capacity);
  }
  if (policy.selection->together()) {
    // Any one head may keep everything; rounding happens to every head.
    layout.capacity = rounded_up(shape.tokens, align);
    layout.slots += std::int64_t{shape.kv_heads} * (align - 1);
    layout.slots = (layout.slots + align - 1) / align * align;
  }
  Bytes bytes;
  const std::int32_t head_rows =
      packed_rows(policy.codec.keys, shape, layout, policy.selection->together());
  layout.keys = lay_out_side(policy.codec.keys, shape, layout, head_rows, bytes);
  layout.values = lay_out_side(policy.codec.values, shape, layout, 0, bytes);
  layout.bytes = bytes.end();
  return layout;
}

double read_bytes(const SideLayout& side, double packed, double waiting, const CacheShape& shape) {
  const auto scales = static_cast<double>(kernels::scale_row_bytes(side.form, side.channels));
  const double row = static_cast<double>(kernels::code_row_bytes(side.form, side.channels)) +
                     (side.form.per_channel ? scales / side.form.group : scales);
  return packed * row + waiting * shape.head_dim * static_cast<double>(size_of(shape.dtype));
}

bool has_even_heads(const LayerLayout& layout) {
  return std::ranges::all_of(
      layout.heads, [&](const HeadRoom& room) { return room.capacity == layout.capacity; });
}

kernels::StoredView view_of(const LayerLayout& layout,
                            const Buffer& buffer,
                            kernels::HeadCursor* heads) {
  kernels::StoredView view{.keys = side_of(layout.keys, buffer),
                           .values = side_of(layout.values, buffer),
                           .heads = heads,
                           .slots = layout.slots,
                           .capacity = layout.capacity};
  if (layout.keys.is_pruned) {
    view.keys.kept_channels = buffer.as<std::int16_t>(layout.keys.kept_channels);
  }
  return view;
}

}  // namespace kvg::kvcompress
