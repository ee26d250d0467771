#include "tests/kernels/stored_side.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <utility>

#include "kernels/transform.h"
#include "tests/support/coded.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceBytes;
using testing_support::Values;

constexpr std::int32_t kGap = 32;
constexpr auto kUntouched = std::byte{0xa5};

DeviceBytes untouched(Backend& backend, std::size_t bytes) {
  return {backend, std::vector<std::byte>(bytes, kUntouched)};
}

std::size_t size_from(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

// One more than there are slots, for a row that nothing may touch.
std::size_t code_bytes(const StoredSideData::Params& params, const StoredShape& layer) {
  return size_from(layer.batch * layer.slots() + 1) * code_row_bytes(params.form, params.channels);
}

std::size_t all_scale_bytes(const StoredSideData::Params& params, const StoredShape& layer) {
  const std::int64_t rows =
      layer.batch * layer.slots() / (params.form.per_channel ? params.form.group : 1);
  return size_from(rows + 1) * scale_row_bytes(params.form, params.channels);
}

std::size_t waiting_row_bytes(const StoredShape& layer, DType compute) {
  return static_cast<std::size_t>(layer.shape.head_dim) * size_of(compute);
}

void expect_rows(const DeviceBytes& memory,
                 std::size_t row_bytes,
                 const std::vector<bool>& written,
                 const std::string& what) {
  const std::vector<std::byte> bytes = memory.read();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t row = i / row_bytes;
    if ((row >= written.size() || !written[row]) && bytes[i] != kUntouched) {
      ADD_FAILURE() << what << ": byte " << i % row_bytes << " of row " << row << " was written";
      return;
    }
  }
}

}  // namespace

std::int32_t StoredShape::slots_of(int head) const {
  return (entries[static_cast<std::size_t>(head)] + room + kGap - 1) / kGap * kGap;
}

std::int32_t StoredShape::start_of(int head) const {
  std::int32_t start = kGap;
  for (int other = head - head % shape.kv_heads; other < head; ++other) {
    start += slots_of(other) + kGap;
  }
  return start;
}

std::int64_t StoredShape::slots() const {
  std::int64_t most = 0;
  for (int row = 1; row <= batch; ++row) {
    const int last = row * shape.kv_heads - 1;
    most = std::max<std::int64_t>(most, start_of(last) + slots_of(last) + kGap);
  }
  return most;
}

std::int64_t StoredShape::capacity() const {
  std::int64_t most = 0;
  for (int head = 0; head < heads(); ++head) {
    most = std::max<std::int64_t>(most, slots_of(head));
  }
  return most;
}

StoredSideData::StoredSideData(Backend& backend, const Params& params, const StoredShape& layer)
    : params_(params),
      layer_(layer),
      given_(static_cast<std::size_t>(layer.heads())),
      codes_(untouched(backend, code_bytes(params, layer))),
      scales_(untouched(backend, all_scale_bytes(params, layer))),
      waiting_(untouched(backend,
                         size_from(std::int64_t{layer.heads()} * params.waiting_slots) *
                             waiting_row_bytes(layer, backend.compute_dtype()))),
      kept_(untouched(
          backend,
          size_from(std::int64_t{layer.heads()} * params.channels) * sizeof(std::int16_t))) {
  if (!is_pruned()) {
    return;
  }
  std::vector<std::int16_t> all;
  for (int head = 0; head < layer.heads(); ++head) {
    const std::vector<std::int16_t> kept = kept_channels(head);
    all.insert(all.end(), kept.begin(), kept.end());
  }
  backend.upload(kept_.data(), all.data(), all.size() * sizeof(std::int16_t));
}

StoredSide StoredSideData::side() const {
  return {.form = params_.form,
          .codes = codes_.data(),
          .scales = params_.form.group == 0 ? nullptr : scales_.data(),
          .waiting = params_.waiting_slots == 0 ? nullptr : waiting_.data(),
          .waiting_slots = params_.waiting_slots,
          .channels = params_.channels,
          .kept_channels = is_pruned() ? static_cast<const std::int16_t*>(kept_.data()) : nullptr};
}

// Of every eight channels as many as are stored, others for each head.
std::vector<std::int16_t> StoredSideData::kept_channels(int head) const {
  const int pruned = (layer_.shape.head_dim - params_.channels) / (layer_.shape.head_dim / 8);
  std::vector<std::int16_t> kept;
  for (int channel = 0; channel < layer_.shape.head_dim; ++channel) {
    if ((channel + head) % 8 >= pruned) {
      kept.push_back(static_cast<std::int16_t>(channel));
    }
  }
  return kept;
}

void StoredSideData::set(int head, std::int32_t slot, std::vector<float> x) {
  auto& slots = given_.at(static_cast<std::size_t>(head));
  slots.resize(std::max(slots.size(), size_from(slot) + 1));
  slots[size_from(slot)] = std::move(x);
}

std::vector<float> StoredSideData::read_row(int head, std::int32_t slot) const {
  std::vector<float> x = given_.at(static_cast<std::size_t>(head)).at(size_from(slot));
  if (is_pruned()) {
    const std::vector<std::int16_t> kept = kept_channels(head);
    std::vector<float> some;
    for (const std::int16_t channel : kept) {
      some.push_back(x.at(static_cast<std::size_t>(channel)));
    }
    some = testing_support::coded(params_.form, some);
    std::fill(x.begin(), x.end(), 0.0F);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      x.at(static_cast<std::size_t>(kept[i])) = some[i];
    }
    return x;
  }
  turn_entry(params_.form.transform, x.data(), layer_.shape.head_dim);
  x = testing_support::coded(params_.form, x);
  turn_back(params_.form.transform, x.data(), layer_.shape.head_dim);
  return x;
}

// With scales along the slots: channel by channel over the slot's group.
std::vector<float> StoredSideData::read_of_group(int head, std::int32_t slot) const {
  const auto& slots = given_.at(static_cast<std::size_t>(head));
  const std::int32_t first = slot / params_.form.group * params_.form.group;
  Form along = params_.form;
  along.per_channel = false;
  std::vector<float> read;
  for (std::size_t channel = 0; channel < slots.at(0).size(); ++channel) {
    std::vector<float> column;
    for (std::int32_t i = first; i < first + along.group; ++i) {
      column.push_back(slots.at(size_from(i)).at(channel));
    }
    read.push_back(testing_support::coded(along, column).at(size_from(slot - first)));
  }
  return read;
}

Values StoredSideData::read(int head,
                            const std::vector<std::int32_t>& entries,
                            std::int32_t packed) const {
  Values all;
  for (const std::int32_t entry : entries) {
    const std::vector<float> x =
        entry >= packed            ? given_.at(static_cast<std::size_t>(head)).at(size_from(entry))
        : params_.form.per_channel ? read_of_group(head, entry)
                                   : read_row(head, entry);
    all.insert(all.end(), x.begin(), x.end());
  }
  return all;
}

void StoredSideData::expect_untouched(const HeadCursor* heads,
                                      bool is_keys,
                                      const std::string& what) const {
  const Form& form = params_.form;
  std::vector<bool> rows(size_from(layer_.batch * layer_.slots()));
  std::vector<bool> groups(rows.size());
  std::vector<bool> waiting(size_from(std::int64_t{layer_.heads()} * params_.waiting_slots));
  for (int head = 0; head < layer_.heads(); ++head) {
    const HeadCursor& cursor = heads[head];
    const std::int32_t packed = is_keys ? cursor.packed_keys : cursor.packed_values;
    for (std::int32_t entry = 0; entry < std::min(cursor.entries, packed); ++entry) {
      const std::size_t row =
          size_from(head / layer_.shape.kv_heads * layer_.slots() + cursor.start + entry);
      rows[row] = true;
      groups[form.per_channel ? row / static_cast<std::size_t>(form.group) : row] = true;
    }
    for (std::int32_t slot = 0; slot < std::min(cursor.entries, params_.waiting_slots); ++slot) {
      waiting[size_from(std::int64_t{head} * params_.waiting_slots + slot)] = true;
    }
  }
  expect_rows(codes_, code_row_bytes(form, params_.channels), rows, what + ", codes");
  if (form.group != 0) {
    expect_rows(scales_, scale_row_bytes(form, params_.channels), groups, what + ", scales");
  }
  if (params_.waiting_slots != 0) {
    const std::size_t bytes = waiting_.read().size() / waiting.size();
    expect_rows(waiting_, bytes, waiting, what + ", waiting");
  }
}

}  // namespace kvg::kernels
