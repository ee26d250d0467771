#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "tests/kernels/scoring_case.h"
#include "tests/support/coded.h"

namespace kvg::kernels {
namespace {

using testing_support::Values;

constexpr int kWindow = 8;
constexpr int kKvHeads = 2;
constexpr int kGroup = 2;
constexpr int kBatch = 2;
constexpr int kHeads = kBatch * kKvHeads;
constexpr int kDim = 64;
constexpr std::int32_t kNewest = 700;

// Keys of which many are alike, well apart from any threshold.
std::vector<float> key_of(std::mt19937& generator) {
  const auto cluster = static_cast<std::uint32_t>(generator() % 12);
  const Values centre = testing_support::random_values(kDim, 500 + cluster);
  const Values noise =
      testing_support::random_values(kDim, static_cast<std::uint32_t>(generator()));
  std::vector<float> key;
  for (std::size_t c = 0; c < kDim; ++c) {
    key.push_back(static_cast<float>(centre[c] + 0.2 * noise[c]));
  }
  return key;
}

// A cache whose heads have different lengths; slots are not in order of age.
class RedundancyCase {
 public:
  RedundancyCase(const Form& form, std::vector<std::int32_t> entries, bool is_prompt)
      : form_(form),
        entries_(std::move(entries)),
        is_prompt_(is_prompt),
        generator_(static_cast<std::uint32_t>(entries_[0])) {
    capacity_ = *std::max_element(entries_.begin(), entries_.end()) + 2;
    slots_ = kKvHeads * capacity_ + 1;
    codes_.resize(as_size(kBatch * slots_) * code_row_bytes(form, kDim));
    scales_.resize(as_size(kBatch * slots_) * scale_row_bytes(form, kDim));
    positions_.resize(as_size(kBatch * slots_), -1);
    for (int head = 0; head < kHeads; ++head) {
      fill(head);
    }
    logits_ = floats(as_size(kWindow * kHeads * capacity_), 31);
    rows_ = floats(as_size(kHeads * kGroup * capacity_), 32);
  }

  // All heads are full but the last one.
  [[nodiscard]] std::vector<HeadCursor> cursors() const {
    std::vector<HeadCursor> all;
    for (int head = 0; head < kHeads; ++head) {
      const std::int32_t count = entries_[as_size(head)];
      all.push_back({.start = start_of(head),
                     .limit = head == kHeads - 1 ? count + 1 : count,
                     .entries = count,
                     .slot = is_prompt_ ? count - 1 : newest_slots_[as_size(head)]});
    }
    return all;
  }

  // `logits` as the step leaves them.
  [[nodiscard]] std::vector<float> logits_after() const {
    std::vector<float> all = logits_;
    for (int head = 0; head < kHeads && !is_prompt_; ++head) {
      for (std::int32_t slot = 0; slot < entries_[as_size(head)]; ++slot) {
        const std::size_t row = as_size(head * kGroup * capacity_ + slot);
        all[logit_at(kNewest % kWindow, head, slot)] =
            std::max(rows_[row], rows_[row + as_size(capacity_)]);
      }
    }
    return all;
  }

  // Scores of one head's slots.
  [[nodiscard]] Values expected(int head) const {
    const std::int32_t count = entries_[as_size(head)];
    const std::vector<float> logits = logits_after();
    std::vector<std::int32_t> order(as_size(count));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return position_of(head, a) < position_of(head, b);
    });
    const std::int32_t newest = is_prompt_ ? count - 1 : kNewest;
    testing_support::Redundancy of = {
        .logits = {}, .keys = {}, .entries = count, .older = 0, .window = kWindow};
    for (int query = 0; query < kWindow; ++query) {
      for (const std::int32_t slot : order) {
        of.logits.push_back(static_cast<double>(logits[logit_at(query, head, slot)]));
      }
    }
    for (const std::int32_t slot : order) {
      const std::vector<float>& key = keys_[as_size(head)][as_size(slot)];
      of.keys.insert(of.keys.end(), key.begin(), key.end());
      of.older += position_of(head, slot) <= newest - kWindow ? 1 : 0;
    }
    const Values by_age = testing_support::redundancy(of);
    Values by_slot(by_age.size());
    for (std::size_t age = 0; age < by_age.size(); ++age) {
      by_slot[as_size(order[age])] = by_age[age];
    }
    return by_slot;
  }

  void check(Backend& backend) const {
    const auto workspace = backend.make_workspace(
        {.batch = kBatch,
         .rows = kBatch,
         .hidden = 64,
         .features = 64,
         .heads = shape(),
         .entries = capacity_,
         .scored_slots = *std::max_element(entries_.begin(), entries_.end())});
    const PoolArray<std::byte> codes(backend, codes_);
    const PoolArray<std::byte> scales(backend, scales_);
    const PoolArray<std::int32_t> positions(backend, positions_);
    const PoolArray<HeadCursor> heads(backend, cursors());
    const PoolArray<float> logits(backend, logits_);
    const PoolArray<float> rows(backend, rows_);
    const PoolArray<StepCursor> cursor(backend, {{.position = kNewest}});
    const PoolArray<double> scores(backend, std::vector<double>(as_size(kBatch * slots_), -7.0));
    backend.scoring().redundancy(
        {.scores = scores.data(),
         .positions = is_prompt_ ? nullptr : positions.data(),
         .keys = {.keys = {.form = form_,
                           .codes = codes.data(),
                           .scales = scales_.empty() ? nullptr : scales.data(),
                           .channels = kDim},
                  .heads = heads.data(),
                  .slots = slots_,
                  .capacity = capacity_},
         .logits = logits.data(),
         .rows = is_prompt_ ? nullptr : rows.data(),
         .cursor = is_prompt_ ? nullptr : cursor.data(),
         .shape = shape(),
         .batch = kBatch,
         .window = kWindow,
         .always = is_prompt_});
    EXPECT_EQ(logits.read(), logits_after());
    const std::vector<double> got = scores.read();
    for (int head = 0; head < kHeads; ++head) {
      const auto at = got.begin() + head / kKvHeads * slots_ + start_of(head);
      const Values of_head(at, at + entries_[as_size(head)]);
      // The last head of a step has room.
      const bool is_scored = is_prompt_ || head < kHeads - 1;
      expect_scores(of_head,
                    is_scored ? expected(head) : Values(of_head.size(), -7.0),
                    "head " + std::to_string(head));
    }
  }

 private:
  static HeadShape shape() {
    return {.heads = kKvHeads * kGroup, .kv_heads = kKvHeads, .head_dim = kDim};
  }
  static std::vector<float> floats(std::size_t count, std::uint32_t seed) {
    const Values values = testing_support::random_values(count, seed);
    return {values.begin(), values.end()};
  }
  [[nodiscard]] std::int32_t start_of(int head) const {
    return 1 + head % kKvHeads * static_cast<std::int32_t>(capacity_);
  }
  [[nodiscard]] std::size_t slot_at(int head, std::int32_t slot) const {
    return as_size(head / kKvHeads * slots_ + start_of(head) + slot);
  }
  [[nodiscard]] std::size_t logit_at(int query, int head, std::int32_t slot) const {
    return as_size((query * kHeads + head) * capacity_ + slot);
  }
  [[nodiscard]] std::int32_t position_of(int head, std::int32_t slot) const {
    if (is_prompt_) {
      return slot;
    }
    return slot == newest_slots_[as_size(head)] ? kNewest : positions_[slot_at(head, slot)];
  }

  void fill(int head) {
    const std::int32_t count = entries_[as_size(head)];
    keys_.emplace_back();
    for (std::int32_t slot = 0; slot < count; ++slot) {
      keys_.back().push_back(stored(key_of(generator_), slot_at(head, slot)));
    }
    // The window is there whole; before it there are gaps.
    std::vector<std::int32_t> positions;
    positions.reserve(as_size(count));
    for (std::int32_t i = 0; i < count; ++i) {
      positions.push_back(i < kWindow ? kNewest - i : kNewest - 2 * i);
    }
    std::shuffle(positions.begin(), positions.end(), generator_);
    for (std::int32_t slot = 0; slot < count; ++slot) {
      const std::int32_t position = positions[as_size(slot)];
      // The newest entry's is not known yet.
      positions_[slot_at(head, slot)] = position == kNewest ? -1 : position;
      if (position == kNewest) {
        newest_slots_.push_back(slot);
      }
    }
  }

  // Writes a key's codes and returns what they read as.
  std::vector<float> stored(const std::vector<float>& key, std::size_t row) {
    std::byte* const code_row = codes_.data() + row * code_row_bytes(form_, kDim);
    std::byte* const scale_row = scales_.data() + row * scale_row_bytes(form_, kDim);
    const int count = form_.group == 0 ? kDim : form_.group;
    for (int first = 0; first < kDim; first += count) {
      const testing_support::CodedGroup group =
          testing_support::code_group(form_, key.data() + first, count);
      write_scale(form_, scale_row, first / count, group.scale);
      for (int i = 0; i < count; ++i) {
        put_code(form_, code_row, first + i, group.codes[as_size(i)]);
      }
    }
    return testing_support::coded(form_, key);
  }

  Form form_;
  std::vector<std::int32_t> entries_;
  bool is_prompt_;
  std::mt19937 generator_;
  std::int64_t capacity_ = 0;
  std::int64_t slots_ = 0;
  std::vector<std::byte> codes_;
  std::vector<std::byte> scales_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> newest_slots_;
  std::vector<std::vector<std::vector<float>>> keys_;  ///< [heads, entries, head_dim]
  std::vector<float> logits_;
  std::vector<float> rows_;
};

class ScoringRedundancyContract : public BackendContract {};

TEST_P(ScoringRedundancyContract, MatchesTheFormulaInSteps) {
  RedundancyCase(native_form(compute()), {300, 37, 1, 100}, false).check(backend());
  RedundancyCase(native_form(compute()), {9, 8, 130, 20}, false).check(backend());
}

TEST_P(ScoringRedundancyContract, MatchesTheFormulaOfPrompts) {
  RedundancyCase(native_form(compute()), {300, 300, 300, 300}, true).check(backend());
  RedundancyCase(native_form(compute()), {37, 8, 9, 1}, true).check(backend());
}

TEST_P(ScoringRedundancyContract, ReadsPackedKeys) {
  for (const Form& form : {Form{.code = Code::kSymmetric, .bits = 8, .group = 64},
                           Form{.code = Code::kAsymmetric, .bits = 4, .group = 32},
                           Form{.code = Code::kE4M3, .bits = 8},
                           // An angle is the same before the transform is undone and after.
                           Form{.code = Code::kAsymmetric,
                           .bits = 4,
                           .group = 32,
                           .transform = Transform::kHadamard}}) {
    RedundancyCase(form, {130, 37, 9, 64}, false).check(backend());
  }
}

TEST_P(ScoringRedundancyContract, TheNewestOfThreeCopiesIsNotRedundant) {
  // Three equal keys, one like none, and one in the window. Every row forgives the newest copy but
  // itself, so the newest of the three is not redundant.
  const auto workspace =
      backend().make_workspace({.batch = 1,
                                .rows = 1,
                                .hidden = 64,
                                .features = 64,
                                .heads = {.heads = 1, .kv_heads = 1, .head_dim = kDim},
                                .entries = 5,
                                .scored_slots = 5});
  Values keys(std::size_t{5} * kDim);
  const std::size_t axes[] = {0, 0, 0, 1, 2};
  for (std::size_t entry = 0; entry < 5; ++entry) {
    keys[entry * kDim + axes[entry]] = 2.0;
  }
  const testing_support::DeviceArray codes(backend(), keys, compute());
  const PoolArray<HeadCursor> heads(backend(), {{.limit = 9, .entries = 5, .slot = 4}});
  const PoolArray<float> logits(backend(), std::vector<float>(5, 0.0F));
  const PoolArray<double> scores(backend(), unwritten(5));
  backend().scoring().redundancy(
      {.scores = scores.data(),
       .keys = {.keys = {.form = native_form(compute()), .codes = codes.data(), .channels = kDim},
                .heads = heads.data(),
                .slots = 5,
                .capacity = 5},
       .logits = logits.data(),
       .shape = {.heads = 1, .kv_heads = 1, .head_dim = kDim},
       .batch = 1,
       .window = 1,
       .kernel = 1,
       .lambda = 0.5,
       .always = true});
  // Rows 0, 1 and 2 are like each other; row 2 forgives 1, rows 0 and 1 forgive 2. What is left:
  // 1/5 of 0 to each of 1 and 2, so entry 0 counts 2/5, entry 1 counts 1/5, the others 0.
  const double sum = std::exp(0.4) + std::exp(0.2) + 3.0;
  expect_scores(scores.read(),
                {0.5 * 0.25 - 0.5 * std::exp(0.4) / sum,
                 0.5 * 0.25 - 0.5 * std::exp(0.2) / sum,
                 0.5 * 0.25 - 0.5 / sum,
                 0.5 * 0.25 - 0.5 / sum,
                 kInfinity},
                "copies");
}

TEST_P(ScoringRedundancyContract, LogitsFollowTheKeptEntries) {
  std::vector<float> in(std::size_t{2} * 3 * 5);  // [window, heads, keys]
  std::iota(in.begin(), in.end(), 0.0F);
  const PoolArray<float> in_array(backend(), in);
  const PoolArray<float> out(backend(), std::vector<float>(std::size_t{2} * 3 * 4, -1.0F));
  const PoolArray<std::int32_t> kept(backend(), {0, 2, 4, 1, 3, -9, 4, -9, -9});
  const PoolArray<HeadCursor> heads(backend(), {{.entries = 3}, {.entries = 2}, {.entries = 1}});
  backend().scoring().keep_logits({.out = out.data(),
                                   .in = in_array.data(),
                                   .kept = kept.data(),
                                   .kept_stride = 3,
                                   .heads = heads.data(),
                                   .capacity = 4,
                                   .keys = 5,
                                   .window = 2,
                                   .batch = 3,
                                   .kv_heads = 1});
  EXPECT_EQ(out.read(), (std::vector<float>{0,  2,  4,  -1, 6,  8,  -1, -1, 14, -1, -1, -1,
                                            15, 17, 19, -1, 21, 23, -1, -1, 29, -1, -1, -1}));
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ScoringRedundancyContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
