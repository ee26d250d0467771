#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/attend_case.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::SharedArray;
using testing_support::Values;

// Embedding, scores, kept entries, the cursor, copies.
class SmallContract : public BackendContract {};

// Slots that a head keeps of nine.
std::vector<std::int32_t> kept_of(int head) {
  return head % 2 == 0 ? std::vector<std::int32_t>{0, 6, 7, 8} : std::vector<std::int32_t>{2, 3, 8};
}

TEST_P(SmallContract, EmbeddingCopiesRows) {
  for (const DType dtype : GetParam().weight_dtypes()) {
    for (const int hidden : {1, 37, 96}) {
      const auto width = static_cast<std::size_t>(hidden);
      const Values table =
          testing_support::rounded(testing_support::random_values(1003 * width, 31), dtype);
      const DeviceArray table_array(backend(), table, dtype);
      const SharedArray<std::int32_t> tokens(backend(), {1002, 0, 7, 7, 513});
      const DeviceArray out(backend(), 5 * width, DType::kF32);
      backend().embed({.out = out.floats(),
                       .table = table_array.data(),
                       .dtype = dtype,
                       .tokens = tokens.data(),
                       .rows = 5,
                       .hidden = hidden});
      const Values got = out.read();
      for (std::size_t row = 0; row < 5; ++row) {
        for (std::size_t i = 0; i < width; ++i) {
          const auto token = static_cast<std::size_t>(tokens.data()[row]);
          EXPECT_EQ(got[row * width + i], table[token * width + i]) << "row " << row;
        }
      }
    }
  }
}

TEST_P(SmallContract, ScoresOfRows) {
  for (const int vocab : {1, 37, 1003, 50257}) {
    const auto width = static_cast<std::size_t>(vocab);
    Values logits = testing_support::random_values(3 * width, 32);
    for (double& logit : logits) {
      logit = std::nearbyint(logit * 64.0) / 8.0;  // many ties
    }
    const DeviceArray logit_array(backend(), logits, DType::kF32);
    const SharedArray<std::int32_t> targets(backend(), {vocab - 1, -1, 0});
    const SharedArray<float> nll(backend(), {-1.0F, -1.0F, -1.0F});
    const SharedArray<std::int32_t> best(backend(), {-1, -1, -1});
    backend().score({.logits = logit_array.floats(),
                     .targets = targets.data(),
                     .nll = nll.data(),
                     .best = best.data(),
                     .rows = 3,
                     .vocab = vocab});
    backend().synchronize();
    for (std::size_t row = 0; row < 3; ++row) {
      const auto at = logits.begin() + static_cast<std::ptrdiff_t>(row * width);
      const Values one(at, at + vocab);
      const double want = testing_support::negative_log_likelihood(one, targets.data()[row]);
      EXPECT_NEAR(static_cast<double>(nll.data()[row]), want, 1e-6 * (1.0 + want)) << vocab;
      EXPECT_EQ(best.data()[row], testing_support::arg_max(one)) << vocab;
    }
  }
}

TEST_P(SmallContract, ScoresOfExtremeLogits) {
  const DeviceArray logits(backend(), Values{1e4, -1e4, 0.0, 1e4, -3e38, 5.0}, DType::kF32);
  const SharedArray<std::int32_t> targets(backend(), {1, 1});
  const SharedArray<float> nll(backend(), {-1.0F, -1.0F});
  const SharedArray<std::int32_t> best(backend(), {-1, -1});
  backend().score({.logits = logits.floats(),
                   .targets = targets.data(),
                   .nll = nll.data(),
                   .best = best.data(),
                   .rows = 2,
                   .vocab = 3});
  backend().synchronize();
  EXPECT_FLOAT_EQ(nll.data()[0], 2e4F);
  EXPECT_EQ(best.data()[0], 0);
  EXPECT_EQ(best.data()[1], 0);
}

struct RowScore {
  float nll = 0.0F;
  std::int32_t best = 0;
};

RowScore score_of(Backend& backend, const DeviceArray& logits, int vocab, std::int32_t target) {
  const SharedArray<std::int32_t> targets(backend, {target});
  const SharedArray<float> nll(backend, {-1.0F});
  const SharedArray<std::int32_t> best(backend, {-1});
  backend.score({.logits = logits.floats(),
                 .targets = targets.data(),
                 .nll = nll.data(),
                 .best = best.data(),
                 .rows = 1,
                 .vocab = vocab});
  backend.synchronize();
  return {.nll = nll.data()[0], .best = best.data()[0]};
}

TEST_P(SmallContract, TheBestIsBestByOneBit) {
  Values logits(1003, 1.0);
  logits[777] = static_cast<double>(std::nextafter(1.0F, 2.0F));
  const RowScore score =
      score_of(backend(), DeviceArray(backend(), logits, DType::kF32), 1003, 777);
  EXPECT_EQ(score.best, 777);
  EXPECT_NEAR(score.nll, std::log(1003.0), 1e-5);
}

// A caller may feed the best id, whatever the logits were.
TEST_P(SmallContract, ScoresOfNotANumbers) {
  for (const int vocab : {5, 1003, 4096}) {
    const DeviceArray poisoned(backend(), static_cast<std::size_t>(vocab), DType::kF32);
    const RowScore score = score_of(backend(), poisoned, vocab, 2);
    EXPECT_EQ(score.best, vocab - 1);
    EXPECT_FALSE(std::isfinite(score.nll));
  }
}

// Compares rows of [rows, vocab] logits.
std::vector<float> divergences(Backend& backend,
                               const Values& reference,
                               const Values& logits,
                               int rows) {
  const DeviceArray reference_array(backend, reference, DType::kF32);
  const DeviceArray logit_array(backend, logits, DType::kF32);
  const SharedArray<float> kl(backend, std::vector<float>(static_cast<std::size_t>(rows), -1.0F));
  backend.compare({.reference = reference_array.floats(),
                   .logits = logit_array.floats(),
                   .kl = kl.data(),
                   .rows = rows,
                   .vocab = static_cast<int>(logits.size()) / rows});
  backend.synchronize();
  return {kl.data(), kl.data() + rows};
}

TEST_P(SmallContract, DivergencesOfRows) {
  for (const int vocab : {1, 2, 37, 1003, 50257}) {
    const auto width = static_cast<std::size_t>(vocab);
    // From distributions that are far apart to such that differ in their last bits.
    for (const double apart : {8.0, 1.0, 1e-2, 1e-5}) {
      Values reference = testing_support::random_values(3 * width, 61);
      Values logits = testing_support::random_values(3 * width, 62);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        reference[i] = static_cast<float>(8.0 * reference[i]);
        logits[i] = static_cast<float>(reference[i] + apart * logits[i] + 3.0);
      }
      const std::vector<float> got = divergences(backend(), reference, logits, 3);
      for (std::size_t row = 0; row < 3; ++row) {
        const auto at = static_cast<std::ptrdiff_t>(row * width);
        const Values p(reference.begin() + at, reference.begin() + at + vocab);
        const Values q(logits.begin() + at, logits.begin() + at + vocab);
        const double want = testing_support::divergence(p, q);
        // Sums of doubles: a few units of 2^-52 times the logarithms that they are made of, and
        // the rounding of the result to f32.
        EXPECT_NEAR(static_cast<double>(got[row]), want, 1e-7 * want + 1e-13)
            << vocab << ", " << apart;
        EXPECT_GE(got[row], 0.0F);
      }
    }
  }
}

TEST_P(SmallContract, EqualRowsDoNotDiverge) {
  const Values logits = testing_support::random_values(std::size_t{2} * 4099, 63);
  EXPECT_EQ(divergences(backend(), logits, logits, 2), (std::vector<float>{0.0F, 0.0F}));
}

TEST_P(SmallContract, DivergencesOfExtremeLogits) {
  // What is certain against halves; likelihoods that no float holds; a shift of all logits.
  const Values reference{1e4, -1e4, 1e4, -1e4, 2.0, 1.0};
  const Values logits{0.0, 0.0, -1e4, 1e4, 1e6, 1e6 - 1.0};
  const std::vector<float> got = divergences(backend(), reference, logits, 3);
  EXPECT_FLOAT_EQ(got[0], std::log(2.0F));
  EXPECT_FLOAT_EQ(got[1], 2e4F);
  EXPECT_EQ(got[2], 0.0F);
  // A token that the policy holds for impossible, and one that both do.
  const double never = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(divergences(backend(), {0.0, 0.0, 1.0}, {0.0, 0.0, never}, 1)[0],
            std::numeric_limits<float>::infinity());
  EXPECT_FLOAT_EQ(divergences(backend(), {0.0, 0.0, never}, {0.0, 0.0, never}, 1)[0], 0.0F);
}

TEST_P(SmallContract, KeptEntriesMove) {
  const AttendCase from_case = {.shape = {.heads = 2, .kv_heads = 2, .head_dim = 80},
                                .batch = 3,
                                .entries = 9,
                                .capacity = 9};
  const CacheData from(backend(), from_case, 41);
  const auto count = static_cast<std::size_t>(3 * 2 * 5 * 80);
  const DeviceArray keys(backend(), Values(count, 7.0), compute());
  const DeviceArray values(backend(), Values(count, 7.0), compute());
  // Rows of five places, of which some stay empty.
  SharedArray<std::int32_t> kept(backend(), std::vector<std::int32_t>(3 * 2 * 5, -1));
  SharedArray<HeadCursor> heads(backend(), std::vector<HeadCursor>(6));
  for (int head = 0; head < 6; ++head) {
    const std::vector<std::int32_t> list = kept_of(head);
    std::copy(list.begin(), list.end(), kept.data() + std::ptrdiff_t{head} * 5);
    heads.data()[head] = {.start = head % 2 * 5, .entries = static_cast<std::int32_t>(list.size())};
  }
  const StoredSide side = {.form = native_form(compute()), .channels = 80};
  StoredView to = {.keys = side, .values = side, .heads = heads.data(), .slots = 10, .capacity = 5};
  to.keys.codes = keys.data();
  to.values.codes = values.data();
  backend().store({.from = from.view(),
                   .kept = kept.data(),
                   .kept_stride = 5,
                   .to = to,
                   .shape = from_case.shape,
                   .batch = 3});
  const Values got_keys = keys.read();
  const Values got_values = values.read();
  for (int head = 0; head < 6; ++head) {
    const Values want_keys = from.keys(head / 2, head % 2);
    const Values want_values = from.values(head / 2, head % 2);
    const std::vector<std::int32_t> list = kept_of(head);
    for (std::size_t slot = 0; slot < 5; ++slot) {
      for (std::size_t i = 0; i < 80; ++i) {
        const std::size_t at = (static_cast<std::size_t>(head) * 5 + slot) * 80 + i;
        const bool is_kept = slot < list.size();
        const std::size_t source = is_kept ? static_cast<std::size_t>(list[slot]) * 80 + i : 0;
        EXPECT_EQ(got_keys[at], is_kept ? want_keys[source] : 7.0) << "slot " << slot;
        EXPECT_EQ(got_values[at], is_kept ? want_values[source] : 7.0) << "slot " << slot;
      }
    }
  }
}

TEST_P(SmallContract, TheCursorAdvances) {
  for (const bool cache_positions : {false, true}) {
    const SharedArray<StepCursor> cursor(backend(), {{}});
    const std::vector<HeadCursor> start = {
        {.start = 32, .limit = 5, .sinks = 2, .packed_keys = 3}, {.limit = 3}, {}};
    const SharedArray<HeadCursor> heads(backend(), start);
    std::vector<HeadCursor> want = start;
    for (std::int32_t position = 1; position < 20; ++position) {
      backend().advance({.cursor = cursor.data(),
                         .heads = heads.data(),
                         .count = 3,
                         .cache_positions = cache_positions});
      backend().synchronize();
      EXPECT_EQ(cursor.data()->position, position);
      EXPECT_EQ(cursor.data()->sink_position, cache_positions ? std::min(position, 4) : position);
      for (std::size_t head = 0; head < 3; ++head) {
        want[head] = next_of(want[head]);
        EXPECT_EQ(heads.data()[head].entries, want[head].entries) << position;
        EXPECT_EQ(heads.data()[head].slot, want[head].slot) << position;
        EXPECT_EQ(heads.data()[head].start, start[head].start) << position;
        EXPECT_EQ(heads.data()[head].packed_keys, start[head].packed_keys) << position;
      }
    }
  }
}

TEST_P(SmallContract, CopiesComeBack) {
  const Values values = testing_support::random_values(1009, 51);
  const DeviceArray array(backend(), values, DType::kF32);
  EXPECT_EQ(array.read(), values);
}

TEST_P(SmallContract, TheForcedDeviceRuns) {
  EXPECT_TRUE(backend().device().id.starts_with(GetParam().device));
  EXPECT_EQ(backend().compute_dtype(), compute());
  EXPECT_FALSE(backend().device().name.empty());
  EXPECT_GT(backend().device().total_bytes, 0U);
  EXPECT_GT(backend().device().free_bytes, 0U);
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         SmallContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
