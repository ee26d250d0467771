#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/contract_fixture.h"
#include "tests/support/scoring_reference.h"

namespace kvg::kernels {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Largest relative error (Euclidean) of what is observed or scored, whatever the compute type: the
/// inputs are exact in every type, and their dot products are summed in f32 at least.
inline constexpr double kScoringBound = 1e-5;

/// Of a count that is a product of ints.
inline std::size_t as_size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// An array of numbers as they are in a backend's pool.
template <typename T>
class PoolArray {
 public:
  PoolArray(Backend& backend, const std::vector<T>& values)
      : backend_(&backend),
        count_(values.size()),
        buffer_(backend.pool().allocate(values.size() * sizeof(T), MemoryClass::kObservations)) {
    write(values);
  }

  [[nodiscard]] T* data() const { return buffer_.template as<T>(); }
  /// Waits for the backend.
  void write(const std::vector<T>& values) {
    backend_->synchronize();
    backend_->upload(buffer_.data(), values.data(), values.size() * sizeof(T));
  }
  [[nodiscard]] std::vector<T> read() const {
    std::vector<T> values(count_);
    backend_->synchronize();
    backend_->download(values.data(), buffer_.data(), count_ * sizeof(T));
    return values;
  }

 private:
  Backend* backend_;
  std::size_t count_;
  Buffer buffer_;
};

struct PromptCase {
  int group = 1;
  int head_dim = 64;
  int batch = 1;
  int tokens = 1;
  int kv_heads = 2;

  [[nodiscard]] HeadShape shape() const {
    return {.heads = kv_heads * group, .kv_heads = kv_heads, .head_dim = head_dim};
  }
  [[nodiscard]] std::string text() const {
    return "group " + std::to_string(group) + ", head_dim " + std::to_string(head_dim) +
           ", batch " + std::to_string(batch) + ", tokens " + std::to_string(tokens);
  }
};

inline std::vector<PromptCase> prompt_cases() {
  return {{.group = 1, .head_dim = 64, .batch = 1, .tokens = 1},
          {.group = 2, .head_dim = 80, .batch = 3, .tokens = 37},
          {.group = 4, .head_dim = 64, .batch = 3, .tokens = 37},
          {.group = 4, .head_dim = 128, .batch = 1, .tokens = 300},
          {.group = 2, .head_dim = 64, .batch = 1, .tokens = 1002, .kv_heads = 1}};
}

/// A prompt's observations on a backend, heads and rows with gaps in between.
class Prompt {
 public:
  Prompt(Backend& backend, const PromptCase& of, std::uint32_t seed = 1)
      : Prompt(backend, random_data(of, seed, backend.compute_dtype())) {}

  Prompt(Backend& backend, testing_support::PromptData data)
      : data_(std::move(data)),
        backend_(&backend),
        query_(backend, data_.query, backend.compute_dtype()),
        keys_(backend, spread(data_.keys), backend.compute_dtype()),
        values_(backend, spread(data_.values), backend.compute_dtype()) {
    workspace_ = backend.make_workspace({.batch = data_.batch,
                                         .rows = data_.batch,
                                         .hidden = 96,
                                         .features = 96,
                                         .heads = data_.shape,
                                         .entries = data_.tokens,
                                         .scored_keys = data_.tokens,
                                         .scored_pages = data_.tokens});
  }

  [[nodiscard]] const testing_support::PromptData& data() const { return data_; }
  [[nodiscard]] float scale() const { return static_cast<float>(data_.scale()); }
  [[nodiscard]] std::size_t score_count() const {
    return as_size(data_.batch) * as_size(data_.shape.kv_heads) * as_size(data_.tokens);
  }

  [[nodiscard]] KvView view(int first_row = 0) const {
    KvView view = {.keys = nullptr,
                   .values = nullptr,
                   .dtype = keys_.dtype(),
                   .batch_stride = row_stride(),
                   .head_stride = head_stride()};
    const std::size_t at = as_size(first_row * row_stride()) * size_of(keys_.dtype());
    view.keys = static_cast<std::byte*>(keys_.data()) + at;
    view.values = static_cast<std::byte*>(values_.data()) + at;
    return view;
  }

  /// All queries at once.
  [[nodiscard]] QueryChunk all() const {
    return {
        .query = query_.data(), .batch = data_.batch, .tokens = data_.tokens, .shape = data_.shape};
  }

  [[nodiscard]] PromptScores scores(const PoolArray<double>& out) const {
    return {.out = out.data(),
            .kv = view(),
            .keys = data_.tokens,
            .shape = data_.shape,
            .batch = data_.batch};
  }

  /// Calls work(chunk) for every row by itself, `tokens` tokens at a time.
  template <typename Work>
  void in_chunks(int tokens, const Work& work) const {
    const std::size_t width = as_size(data_.shape.heads) * as_size(data_.shape.head_dim);
    for (int row = 0; row < data_.batch; ++row) {
      for (int past = 0; past < data_.tokens; past += tokens) {
        const int count = std::min(tokens, data_.tokens - past);
        const std::size_t at = as_size(row * data_.tokens + past) * width;
        work(QueryChunk{
            .query = static_cast<std::byte*>(query_.data()) + at * size_of(query_.dtype()),
            .batch = 1,
            .first_row = row,
            .past = past,
            .tokens = count,
            .shape = data_.shape});
      }
    }
  }

 private:
  static testing_support::PromptData random_data(const PromptCase& of,
                                                 std::uint32_t seed,
                                                 DType dtype) {
    const auto count = [&](int heads) {
      return as_size(of.batch * of.tokens) * as_size(heads * of.head_dim);
    };
    const auto values = [&](int heads, std::uint32_t which) {
      return testing_support::rounded(
          testing_support::random_values(count(heads), 100 * seed + which), dtype);
    };
    return {.shape = of.shape(),
            .batch = of.batch,
            .tokens = of.tokens,
            .query = values(of.shape().heads, 1),
            .keys = values(of.kv_heads, 2),
            .values = values(of.kv_heads, 3)};
  }

  [[nodiscard]] std::int64_t head_stride() const {
    return std::int64_t{data_.tokens + 3} * data_.shape.head_dim;
  }
  [[nodiscard]] std::int64_t row_stride() const {
    return (data_.shape.kv_heads + 1) * head_stride();
  }

  // What lies between heads is NaN.
  [[nodiscard]] testing_support::Values spread(const testing_support::Values& dense) const {
    testing_support::Values all(as_size(data_.batch * row_stride()), std::nan(""));
    const std::int64_t width = std::int64_t{data_.tokens} * data_.shape.head_dim;
    for (std::int64_t head = 0; head < data_.batch * data_.shape.kv_heads; ++head) {
      const std::int64_t to =
          head / data_.shape.kv_heads * row_stride() + head % data_.shape.kv_heads * head_stride();
      std::copy_n(dense.begin() + head * width, width, all.begin() + to);
    }
    return all;
  }

  testing_support::PromptData data_;
  Backend* backend_;
  testing_support::DeviceArray query_;
  testing_support::DeviceArray keys_;
  testing_support::DeviceArray values_;
  std::unique_ptr<Workspace> workspace_;
};

/// Equal infinities, and all else within `bound`.
inline void expect_scores(const testing_support::Values& got,
                          const testing_support::Values& want,
                          const std::string& what,
                          double bound = kScoringBound) {
  ASSERT_EQ(got.size(), want.size()) << what;
  testing_support::Values finite_got;
  testing_support::Values finite_want;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isinf(want[i])) {
      EXPECT_EQ(got[i], want[i]) << what << ", score " << i;
    } else {
      finite_got.push_back(got[i]);
      finite_want.push_back(want[i]);
    }
  }
  if (std::any_of(finite_want.begin(), finite_want.end(), [](double x) { return x != 0.0; })) {
    // Written so that a NaN fails.
    EXPECT_LT(testing_support::relative_error(finite_got, finite_want), bound) << what;
  } else {
    EXPECT_EQ(finite_got, finite_want) << what;
  }
}

inline testing_support::Values widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// Arrays of doubles that no operation has written yet.
inline std::vector<double> unwritten(std::size_t count) {
  return std::vector<double>(count, std::nan(""));
}

}  // namespace kvg::kernels
