#include "tests/kernels/stored_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/transform.h"
#include "tests/support/coded.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::DeviceBytes;
using testing_support::SharedArray;
using testing_support::Values;

constexpr std::int32_t kGap = 32;
constexpr std::int32_t kPage = 16;
constexpr auto kUntouched = std::byte{0xa5};

DeviceBytes untouched(Backend& backend, std::size_t bytes) {
  return {backend, std::vector<std::byte>(bytes, kUntouched)};
}

std::size_t size_from(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

std::vector<float> floats_of(const Values& values) {
  std::vector<float> floats;
  for (const double value : values) {
    floats.push_back(static_cast<float>(value));
  }
  return floats;
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

StoredCache::StoredCache(Backend& backend, const FormCase& forms, const StoredShape& params)
    : backend_(&backend),
      forms_(forms),
      params_(params),
      keys_(backend,
            {.form = forms.keys,
             .channels = forms.key_channels(params.shape.head_dim),
             .waiting_slots = forms.waiting_keys},
            params),
      values_(backend,
              {.form = forms.values,
               .channels = params.shape.head_dim,
               .waiting_slots = forms.waiting_values},
              params),
      heads_(backend, std::vector<HeadCursor>(static_cast<std::size_t>(params.heads()))) {
  for (int index = 0; index < params.heads(); ++index) {
    HeadCursor& cursor = heads_.data()[index];
    const std::int32_t entries = params.entries[static_cast<std::size_t>(index)];
    cursor = {.start = params.start_of(index), .entries = entries, .slot = entries - 1};
    if (forms.waiting_keys > 0) {
      // Pruned keys: the newest 32 of a prompt wait; else whole blocks are packed.
      cursor.packed_keys = forms.keys.per_channel
                               ? entries / forms.waiting_keys * forms.waiting_keys
                               : std::max(0, entries - 32);
    }
    if (forms.waiting_values > 0) {
      cursor.packed_values = std::max(0, entries - forms.waiting_values + 1);
    }
  }
  const int width = params.shape.heads * params.shape.head_dim;
  backend.reserve_workspace({.batch = params.batch,
                             .rows = params.batch,
                             .hidden = width,
                             .features = width,
                             .heads = params.shape,
                             .entries = params.capacity()});
}

StoredView StoredCache::view() const {
  return {.keys = keys_.side(),
          .values = values_.side(),
          .heads = heads_.data(),
          .slots = params_.slots(),
          .capacity = params_.capacity()};
}

HeadCursor& StoredCache::head(int index) const {
  backend_->synchronize();
  return heads_.data()[index];
}

void StoredCache::store_prompt(bool choose) {
  const std::int32_t most = *std::max_element(params_.entries.begin(), params_.entries.end());
  const std::int32_t tokens = choose ? 2 * most : most;
  const DType compute = backend_->compute_dtype();
  const std::int64_t head_stride = std::int64_t{tokens} * params_.shape.head_dim;
  const std::size_t count = size_from(params_.heads() * head_stride);
  const Values keys = testing_support::rounded(testing_support::random_values(count, 61), compute);
  const Values values =
      testing_support::rounded(testing_support::random_values(count, 62), compute);
  const DeviceArray key_array(*backend_, keys, compute);
  const DeviceArray value_array(*backend_, values, compute);
  SharedArray<std::int32_t> kept(*backend_,
                                 std::vector<std::int32_t>(size_from(params_.heads() * most), -1));
  for (int index = 0; index < params_.heads(); ++index) {
    for (std::int32_t i = 0; i < params_.entries[static_cast<std::size_t>(index)]; ++i) {
      const std::int32_t slot = choose ? 2 * i + (i + index) % 2 : i;
      kept.data()[index * most + i] = slot;
      const std::ptrdiff_t at = index * head_stride + std::ptrdiff_t{slot} * params_.shape.head_dim;
      const auto entry = [&](const Values& all) {
        return floats_of({all.begin() + at, all.begin() + at + params_.shape.head_dim});
      };
      keys_.set(index, i, entry(keys));
      values_.set(index, i, entry(values));
    }
  }
  backend_->store({.from = {.keys = key_array.data(),
                            .values = value_array.data(),
                            .dtype = compute,
                            .batch_stride = head_stride * params_.shape.kv_heads,
                            .head_stride = head_stride},
                   .kept = choose ? kept.data() : nullptr,
                   .kept_stride = choose ? most : 0,
                   .to = view(),
                   .shape = params_.shape,
                   .batch = params_.batch});
  backend_->synchronize();
}

void StoredCache::append(std::uint32_t seed) {
  const DType compute = backend_->compute_dtype();
  const std::int64_t dim = params_.shape.head_dim;
  const std::size_t count = size_from(params_.heads() * dim);
  const Values keys =
      testing_support::rounded(testing_support::random_values(count, seed), compute);
  const Values values =
      testing_support::rounded(testing_support::random_values(count, seed + 1), compute);
  const DeviceArray key_array(*backend_, keys, compute);
  const DeviceArray value_array(*backend_, values, compute);
  for (int index = 0; index < params_.heads(); ++index) {
    const auto entry = [&](const Values& all) {
      return floats_of({all.begin() + index * dim, all.begin() + (index + 1) * dim});
    };
    keys_.set(index, head(index).slot, entry(keys));
    values_.set(index, head(index).slot, entry(values));
  }
  backend_->append({.from = {.keys = key_array.data(),
                             .values = value_array.data(),
                             .dtype = compute,
                             .batch_stride = dim * params_.shape.kv_heads,
                             .head_stride = dim},
                    .to = view(),
                    .shape = params_.shape,
                    .batch = params_.batch});
  backend_->synchronize();
}

void StoredCache::settle() {
  backend_->settle({.kv = view(), .shape = params_.shape, .batch = params_.batch});
  backend_->synchronize();
}

// Every third page and the newest entry's, at most `count`, -1 behind them.
std::vector<std::int32_t> StoredCache::pages_of(int head_index, int count) const {
  const std::int32_t last = (head(head_index).entries - 1) / kPage;
  std::vector<std::int32_t> pages;
  for (std::int32_t page = head_index % 3; page < last; page += 3) {
    if (static_cast<int>(pages.size()) + 1 < count) {
      pages.push_back(page);
    }
  }
  pages.push_back(last);
  pages.resize(static_cast<std::size_t>(count), -1);
  return pages;
}

std::vector<std::int32_t> StoredCache::entries_of(int head_index, const Look& look) const {
  std::vector<std::int32_t> entries;
  for (std::int32_t entry = 0; entry < head(head_index).entries; ++entry) {
    const std::vector<std::int32_t> pages = look.pages == 0
                                                ? std::vector<std::int32_t>{entry / kPage}
                                                : pages_of(head_index, look.pages);
    if (std::find(pages.begin(), pages.end(), entry / kPage) != pages.end()) {
      entries.push_back(entry);
    }
  }
  return entries;
}

struct StoredCache::Queries {
  Values query;
  Values sink_query;
  Values out;
  Values scores;
  double bound = 0.0;
  std::string what;
};

void StoredCache::expect_head(const Look& look, const Queries& queries, int query_head) const {
  const int group = params_.shape.heads / params_.shape.kv_heads;
  const int index = query_head / group;
  const auto dim = static_cast<std::ptrdiff_t>(params_.shape.head_dim);
  const auto part = [&](const Values& all) {
    return Values(all.begin() + query_head * dim, all.begin() + (query_head + 1) * dim);
  };
  const Values main = part(queries.query);
  const Values sink = part(queries.sink_query);
  const std::vector<std::int32_t> entries = entries_of(index, look);
  testing_support::HeadAttention attention = {
      .queries = {},
      .keys = keys_.read(index, entries, head(index).packed_keys),
      .values = values_.read(index, entries, head(index).packed_values),
      .scale = 1.0 / std::sqrt(static_cast<double>(dim))};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    attention.queries.push_back(entries[i] < look.sinks ? &sink : &main);
  }
  // Written so that a NaN fails.
  EXPECT_LT(
      testing_support::relative_error(part(queries.out), testing_support::attended(attention)),
      queries.bound)
      << queries.what << ", head " << query_head;
  if (!look.scores) {
    return;
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    double want = 0.0;
    double size = 0.0;  // a sum may cancel; its error is of the size of its terms
    for (std::size_t c = 0; c < main.size(); ++c) {
      const double term =
          attention.scale * (*attention.queries[i])[c] * attention.keys[i * main.size() + c];
      want += term;
      size += std::fabs(term);
    }
    const double got = queries.scores.at(size_from(query_head * params_.capacity() + entries[i]));
    EXPECT_LE(std::fabs(got - want), queries.bound * size)
        << queries.what << ", head " << query_head << ", score of slot " << entries[i];
  }
}

void StoredCache::expect_attention(const Look& look, double bound, const std::string& what) const {
  const DType compute = backend_->compute_dtype();
  const int heads = params_.batch * params_.shape.heads;
  const std::size_t count = size_from(std::int64_t{heads} * params_.shape.head_dim);
  Queries queries = {
      .query = testing_support::rounded(testing_support::random_values(count, 71), compute),
      .sink_query = testing_support::rounded(testing_support::random_values(count, 72), compute),
      .out = {},
      .scores = {},
      .bound = bound,
      .what = forms_.name + ", " + what};
  const DeviceArray query(*backend_, queries.query, compute);
  const DeviceArray sink_query(*backend_, queries.sink_query, compute);
  const DeviceArray out(*backend_, count, compute);
  const DeviceArray scores(
      *backend_, look.scores ? size_from(heads * params_.capacity()) : 0, DType::kF32);
  std::vector<std::int32_t> all_pages;
  for (int index = 0; index < params_.heads(); ++index) {
    const std::vector<std::int32_t> pages =
        look.pages == 0 ? std::vector<std::int32_t>{0} : pages_of(index, look.pages);
    all_pages.insert(all_pages.end(), pages.begin(), pages.end());
  }
  const SharedArray<std::int32_t> page_array(*backend_, all_pages);
  backend_->attend(
      {.out = out.data(),
       .query = query.data(),
       .sink_query = look.sinks > 0 ? sink_query.data() : nullptr,
       .sinks = look.sinks,
       .kv = view(),
       .pages = {.pages = look.pages == 0 ? nullptr : page_array.data(),
                 .count = look.pages,
                 .page = kPage},
       .shape = params_.shape,
       .batch = params_.batch,
       .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(params_.shape.head_dim))),
       .scores = look.scores ? scores.floats() : nullptr});
  queries.out = out.read();
  queries.scores = scores.read();
  for (int head_index = 0; head_index < heads; ++head_index) {
    expect_head(look, queries, head_index);
  }
}

void StoredCache::expect_untouched(const std::string& what) const {
  keys_.expect_untouched(&head(0), true, forms_.name + ", " + what + ", keys");
  values_.expect_untouched(&head(0), false, forms_.name + ", " + what + ", values");
}

}  // namespace kvg::kernels
