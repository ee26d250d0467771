#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/hash.h"
#include "tests/kernels/scoring_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::PromptData;
using testing_support::Values;

const nlohmann::json& goldens() {
  static const nlohmann::json kAll = [] {
    std::ifstream file(KVG_SCORING_GOLDENS);
    return nlohmann::json::parse(file);
  }();
  return kAll;
}

int shape_of(const char* name) {
  return goldens()["shape"][name].get<int>();
}

// As tests/golden/scoring.py makes them.
Values hashed(std::size_t count, std::uint64_t which) {
  Values values;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto step = static_cast<std::int64_t>(mixed(which * 1000000 + i) % 221) - 110;
    values.push_back(static_cast<double>(step) / 64.0);
  }
  return values;
}

PromptData hashed_prompt() {
  PromptData data = {.shape = {.heads = shape_of("heads"),
                               .kv_heads = shape_of("kv_heads"),
                               .head_dim = shape_of("head_dim")},
                     .batch = shape_of("batch"),
                     .tokens = shape_of("tokens"),
                     .query = {},
                     .keys = {},
                     .values = {}};
  const auto per_head = as_size(data.batch * data.tokens * data.shape.head_dim);
  data.query = hashed(per_head * as_size(data.shape.heads), 1);
  data.keys = hashed(per_head * as_size(data.shape.kv_heads), 2);
  data.values = hashed(per_head * as_size(data.shape.kv_heads), 3);
  return data;
}

// The entries that the oracles' reference keeps of a prompt, from what every method would observe.
class ScoringGoldenContract : public BackendContract {
 protected:
  ScoringGoldenContract()
      : prompt_(backend(), hashed_prompt()),
        scores_(backend(), unwritten(prompt_.score_count())),
        to_(prompt_.scores(scores_)) {}

  [[nodiscard]] Scoring& scoring() { return backend().scoring(); }
  [[nodiscard]] const PromptScores& to() const { return to_; }
  [[nodiscard]] int window() const { return shape_of("window"); }

  // The last `window` queries' mean probabilities, pooled.
  void pool(int window, int columns, int kernel, Reduce reduce) {
    const auto width = as_size(to_.shape.heads * to_.shape.head_dim);
    const DeviceArray query(backend(), as_size(to_.batch * window) * width, compute());
    const DeviceArray rows(backend(), as_size(to_.batch * to_.shape.heads * to_.keys), DType::kF32);
    scoring().keep_queries(
        {.out = query.data(), .chunk = prompt_.all(), .window = window, .keys = to_.keys});
    scoring().window_rows({.out = rows.floats(),
                           .query = query.data(),
                           .kv = to_.kv,
                           .window = window,
                           .keys = to_.keys,
                           .shape = to_.shape,
                           .batch = to_.batch,
                           .scale = prompt_.scale()});
    scoring().pool(
        {.to = to_, .rows = rows.floats(), .columns = columns, .kernel = kernel, .reduce = reduce});
    backend().synchronize();
  }

  void snap() { pool(window(), to_.keys - window(), shape_of("kernel"), Reduce::kMean); }

  void expect_attention() {
    const int dim = to_.shape.head_dim;
    const DeviceArray table(
        backend(), testing_support::rope_table(to_.keys + 512, dim).table, DType::kF32);
    const auto heads = as_size(to_.batch * to_.shape.heads);
    const auto width = as_size(dim);
    const PoolArray<double> sums(backend(), std::vector<double>(heads * width));
    const PoolArray<double> products(backend(), std::vector<double>(heads * width * width));
    const Turn turn = {.table = table.floats(), .rotary_dim = dim};
    scoring().moments({.sums = sums.data(),
                       .products = products.data(),
                       .chunk = prompt_.all(),
                       .turn = turn,
                       .skip = 4});
    scoring().expected({.to = to_, .sums = sums.data(), .products = products.data(), .turn = turn});
    backend().synchronize();
  }

  // Scores as `method` makes them of a budget.
  void score(const std::string& method, int budget) {
    const std::map<std::string, std::function<void()>> methods = {
        {"snapkv", [&] { snap(); }},
        {"pyramidkv", [&] { snap(); }},
        {"adakv",
         [&] {
           snap();
           scoring().raise({.by = scores_.data(),
                            .in = scores_.data(),
                            .rows = to_.batch * to_.shape.kv_heads,
                            .width = to_.keys,
                            .count = (budget - window()) / 5});
         }},
        {"knorm", [&] { scoring().key_norms(to_); }},
        {"keydiff", [&] { scoring().key_likeness(to_); }},
        {"tova", [&] { pool(1, to_.keys, 1, Reduce::kAll); }},
        {"streaming",
         [&] {
           scoring().recency(to_);
           scoring().protect(to_, 4, 0);
         }},
        {"expected", [&] { expect_attention(); }}};
    methods.at(method)();
    const bool has_window = method == "snapkv" || method == "pyramidkv" || method == "adakv";
    scoring().protect(to_, 0, has_window ? window() : method == "tova" ? 1 : 0);
  }

  [[nodiscard]] std::vector<std::vector<std::int32_t>> chosen(int count, bool together) {
    const auto heads = as_size(to_.batch * to_.shape.kv_heads);
    const PoolArray<HeadCursor> cursors(backend(), std::vector<HeadCursor>(heads));
    const PoolArray<std::int32_t> kept(backend(),
                                       std::vector<std::int32_t>(heads * as_size(to_.keys)));
    scoring().choose({.scores = scores_.data(),
                      .keys = to_.keys,
                      .batch = to_.batch,
                      .kv_heads = to_.shape.kv_heads,
                      .count = count,
                      .together = together,
                      .heads = cursors.data(),
                      .slack = 1,
                      .kept = kept.data(),
                      .kept_stride = to_.keys});
    const std::vector<std::int32_t> all = kept.read();
    std::vector<std::vector<std::int32_t>> positions;
    for (std::size_t head = 0; head < heads; ++head) {
      const auto at = all.begin() + static_cast<std::ptrdiff_t>(head) * to_.keys;
      positions.emplace_back(at, at + cursors.read()[head].entries);
    }
    return positions;
  }

 private:
  Prompt prompt_;
  PoolArray<double> scores_;
  PromptScores to_;
};

TEST_P(ScoringGoldenContract, KeepsWhatTheOraclesKeep) {
  ASSERT_FALSE(goldens()["cases"].empty());
  for (const nlohmann::json& golden : goldens()["cases"]) {
    const auto method = golden["method"].get<std::string>();
    const auto budget = golden["budget"].get<int>();
    std::vector<std::vector<std::int32_t>> want;
    for (const nlohmann::json& row : golden["kept"]) {
      for (const nlohmann::json& head : row) {
        want.push_back(head.get<std::vector<std::int32_t>>());
      }
    }
    // PyramidKV's budget for a layer is arithmetic of the host.
    const int count = method == "pyramidkv" ? static_cast<int>(want[0].size()) : budget;
    score(method, budget);
    EXPECT_EQ(chosen(count, method == "adakv"), want) << method << " " << budget;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringGoldenContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
