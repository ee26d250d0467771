#include "tests/kernels/stored_case.h"

#include <algorithm>
#include <cmath>

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::SharedArray;
using testing_support::Values;

constexpr std::int32_t kPage = 16;

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

// Of the score of entry i, by the size of its terms: a sum may cancel.
double score_error(const testing_support::HeadAttention& attention, std::size_t i, double got) {
  const Values& query = *attention.queries[i];
  double want = 0.0;
  double size = 0.0;
  for (std::size_t c = 0; c < query.size(); ++c) {
    const double term = attention.scale * query[c] * attention.keys[i * query.size() + c];
    want += term;
    size += std::fabs(term);
  }
  return std::fabs(got - want) / size;
}

}  // namespace

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
  workspace_ = backend.make_workspace({.batch = params.batch,
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
  const std::vector<std::int32_t> pages =
      look.pages == 0 ? std::vector<std::int32_t>{} : pages_of(head_index, look.pages);
  std::vector<std::int32_t> entries;
  for (std::int32_t entry = 0; entry < head(head_index).entries; ++entry) {
    if (look.pages == 0 || std::ranges::find(pages, entry / kPage) != pages.end()) {
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

void StoredCache::expect_kv_head(const Look& look, const Queries& queries, int index) const {
  const int group = params_.shape.heads / params_.shape.kv_heads;
  const auto dim = static_cast<std::ptrdiff_t>(params_.shape.head_dim);
  const std::vector<std::int32_t> entries = entries_of(index, look);
  testing_support::HeadAttention attention = {
      .queries = {},
      .keys = keys_.read(index, entries, head(index).packed_keys),
      .values = values_.read(index, entries, head(index).packed_values),
      .scale = 1.0 / std::sqrt(static_cast<double>(dim))};
  for (int query_head = index * group; query_head < (index + 1) * group; ++query_head) {
    const auto part = [&](const Values& all) {
      return Values(all.begin() + query_head * dim, all.begin() + (query_head + 1) * dim);
    };
    const Values main = part(queries.query);
    const Values sink = part(queries.sink_query);
    attention.queries.clear();
    for (const std::int32_t entry : entries) {
      attention.queries.push_back(entry < look.sinks ? &sink : &main);
    }
    // Written so that a NaN fails.
    EXPECT_LT(
        testing_support::relative_error(part(queries.out), testing_support::attended(attention)),
        queries.bound)
        << queries.what << ", head " << query_head;
    for (std::size_t i = 0; look.scores && i < entries.size(); ++i) {
      const std::size_t at = size_from(query_head * params_.capacity() + entries[i]);
      EXPECT_LE(score_error(attention, i, queries.scores.at(at)), queries.bound)
          << queries.what << ", head " << query_head << ", score of slot " << entries[i];
    }
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
  for (int index = 0; index < params_.heads(); ++index) {
    expect_kv_head(look, queries, index);
  }
}

void StoredCache::expect_untouched(const std::string& what) const {
  keys_.expect_untouched(&head(0), true, forms_.name + ", " + what + ", keys");
  values_.expect_untouched(&head(0), false, forms_.name + ", " + what + ", values");
}

}  // namespace kvg::kernels
