#include "kernels/cpu/store.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec.h"
#include "kernels/core/error.h"
#include "kernels/cpu/stored_rows.h"
#include "kernels/transform.h"

namespace kvg::kernels::cpu {
namespace {

// `count` elements, `stride` apart, become one group; `put` takes (index, code).
template <typename Put>
GroupScale encode_group(const Form& form, const float* x, int count, int stride, const Put& put) {
  const Extremes extremes = extremes_of(x, count, stride);
  GroupScale scale = scale_of(form, extremes, count);
  double level_squares = 0.0;
  for (int i = 0; i < count; ++i) {
    const unsigned code = encode(form, x[std::ptrdiff_t{i} * stride], scale);
    put(i, code);
    level_squares += form.code == Code::kLloyd ? level_square(form, code) : 0.0;
  }
  return form.code == Code::kLloyd ? with_levels(scale, extremes, level_squares) : scale;
}

// Encodes entries of one head of one side, or puts them among those that wait.
class Writer {
 public:
  /// `scratch`: of writer_floats().
  Writer(const StoredHead& head, float* scratch)
      : head_(head), side_(*head.side), form_(head.side->form), scratch_(scratch) {}

  /// x [head_dim], f32.
  void write(std::int64_t entry, const float* x) const {
    if (entry >= head_.packed) {
      std::memcpy(head_.waiting(entry), x, width() * sizeof(float));
    } else {
      write_row(entry, x);
    }
  }

  void write_row(std::int64_t slot, const float* x) const {
    if (is_plain(side_)) {
      std::memcpy(head_.codes(slot), x, width() * sizeof(float));
      return;
    }
    prepare(scratch_, x);
    std::byte* row = head_.codes(slot);
    if (is_native(form_)) {
      convert(
          row, dtype_of(form_), scratch_, DType::kF32, static_cast<std::size_t>(side_.channels));
      return;
    }
    const int group = form_.group == 0 ? side_.channels : form_.group;
    for (int first = 0; first < side_.channels; first += group) {
      const auto put = [&](int i, unsigned code) { put_code(form_, row, first + i, code); };
      const GroupScale scale = encode_group(form_, scratch_ + first, group, 1, put);
      if (form_.group != 0) {
        write_scale(form_, head_.scales(slot), first / group, scale);
      }
    }
  }

  /// A group of slots from `slot` on, a scale for each channel; entry_of(i) is [head_dim].
  template <typename EntryOf>
  void write_slots(std::int64_t slot, const EntryOf& entry_of) const {
    for (int i = 0; i < form_.group; ++i) {
      prepare(scratch_ + std::ptrdiff_t{i} * side_.channels, entry_of(i));
    }
    for (int c = 0; c < side_.channels; ++c) {
      const auto put = [&](int i, unsigned code) {
        put_code(form_, head_.codes(slot + i), c, code);
      };
      const GroupScale scale = encode_group(form_, scratch_ + c, form_.group, side_.channels, put);
      write_scale(form_, head_.scales(slot), c, scale);
    }
  }

 private:
  [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(head_.head_dim); }

  // What is coded of an entry: its stored channels, or all of them transformed.
  void prepare(float* out, const float* x) const {
    if (const std::int16_t* kept = head_.kept_channels(); kept != nullptr) {
      for (int c = 0; c < side_.channels; ++c) {
        out[c] = x[kept[c]];
      }
      return;
    }
    std::memcpy(out, x, width() * sizeof(float));
    turn_entry(form_.transform, out, head_.head_dim);
  }

  const StoredHead& head_;
  const StoredSide& side_;
  const Form& form_;
  float* scratch_;
};

void check(const StoredSide& side, const HeadShape& shape) {
  const Form& form = side.form;
  KVG_EXPECT(side.channels == shape.head_dim || side.kept_channels != nullptr,
             "all channels are stored unless kept_channels says which");
  KVG_EXPECT(side.kept_channels == nullptr || form.transform == Transform::kNone,
             "pruned keys are not transformed");
  KVG_EXPECT(!form.per_channel || form.group <= kMostGroupedSlots,
             "at most " + std::to_string(kMostGroupedSlots) + " slots share a scale");
}

// A task for each side of each head: work(head of a side, its cursor, is_keys, scratch).
template <typename Work>
void for_each_side(const StoredView& to,
                   const HeadShape& shape,
                   int batch,
                   const Resources& resources,
                   const Work& work) {
  check(to.keys, shape);
  check(to.values, shape);
  const bool copies = is_plain(to.keys) && is_plain(to.values);
  const auto head_dim = static_cast<std::size_t>(shape.head_dim);
  float* scratch = copies ? nullptr : resources.scratch.tiles(writer_floats(head_dim));
  resources.team.run(2 * batch * shape.kv_heads, [&](int task, int thread) {
    const int index = task / 2;
    const bool is_keys = task % 2 == 0;
    const HeadCursor& cursor = to.heads[index];
    const StoredHead head = {
        .side = is_keys ? &to.keys : &to.values,
        .index = index,
        .first_row = first_row(to, is_keys ? to.keys : to.values, shape.kv_heads, index),
        .packed = is_keys ? cursor.packed_keys : cursor.packed_values,
        .head_dim = shape.head_dim};
    const std::size_t at = static_cast<std::size_t>(thread) * resources.scratch.thread_stride();
    work(head, is_keys, copies ? nullptr : scratch + at);
  });
}

// The entries of a head in a KvView.
const float* entries_of(const KvView& from, bool is_keys, int index, int kv_heads) {
  return static_cast<const float*>(is_keys ? from.keys : from.values) +
         index / kv_heads * from.batch_stride + index % kv_heads * from.head_stride;
}

// Packs what has become due of one side of a head and tells how many entries are packed then.
std::int32_t settled(const StoredHead& head, std::int32_t entries, float* scratch) {
  const StoredSide& side = *head.side;
  if (side.waiting == nullptr || entries - head.packed < side.waiting_slots) {
    return head.packed;
  }
  const Writer writer(head, scratch);
  if (!side.form.per_channel) {
    writer.write_row(head.packed, head.waiting(head.packed));
    return head.packed + 1;
  }
  for (std::int32_t slot = head.packed; slot < head.packed + side.waiting_slots;
       slot += side.form.group) {
    writer.write_slots(slot, [&](int i) { return head.waiting(slot + i); });
  }
  return head.packed + side.waiting_slots;
}

}  // namespace

void append(const AppendArgs& args, const Resources& resources) {
  for_each_side(args.to,
                args.shape,
                args.batch,
                resources,
                [&](const StoredHead& head, bool is_keys, float* scratch) {
                  const HeadCursor& cursor = args.to.heads[head.index];
                  const float* newest =
                      entries_of(args.from, is_keys, head.index, args.shape.kv_heads);
                  // Where entries wait none ever leaves, so a slot is an entry's number.
                  Writer(head, scratch).write(cursor.slot, newest);
                });
}

void store(const StoreArgs& args, const Resources& resources) {
  const std::int64_t dim = args.shape.head_dim;
  for_each_side(
      args.to,
      args.shape,
      args.batch,
      resources,
      [&](const StoredHead& head, bool is_keys, float* scratch) {
        const float* from = entries_of(args.from, is_keys, head.index, args.shape.kv_heads);
        const auto entry = [&](std::int64_t i) {
          return from +
                 dim * (args.kept == nullptr ? i : args.kept[head.index * args.kept_stride + i]);
        };
        const Writer writer(head, scratch);
        const std::int32_t entries = args.to.heads[head.index].entries;
        std::int32_t i = 0;
        if (head.side->form.per_channel) {
          for (; i < std::min(entries, head.packed); i += head.side->form.group) {
            writer.write_slots(i, [&](int k) { return entry(i + k); });
          }
        }
        for (; i < entries; ++i) {
          writer.write(i, entry(i));
        }
      });
}

void settle(const SettleArgs& args, const Resources& resources) {
  for_each_side(args.kv,
                args.shape,
                args.batch,
                resources,
                [&](const StoredHead& head, bool is_keys, float* scratch) {
                  // The two sides of a head are two tasks, but each has its own count.
                  HeadCursor& cursor = args.kv.heads[head.index];
                  std::int32_t& packed = is_keys ? cursor.packed_keys : cursor.packed_values;
                  packed = settled(head, cursor.entries, scratch);
                });
}

}  // namespace kvg::kernels::cpu
