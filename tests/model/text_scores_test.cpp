// Texts scored whole against the same texts fed token by token.

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/model/shipped_model.h"
#include "tests/model/shipped_targets.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using testing_support::mean_nll;
using testing_support::ShippedModel;
using testing_support::stream;
using Scores = std::vector<TokenScore>;
using Texts = std::vector<std::vector<std::int32_t>>;

class TextScores : public testing::TestWithParam<Target> {
 protected:
  std::vector<Scores> scored(std::string_view policy,
                             const RunShape& shape,
                             std::span<const std::vector<std::int32_t>> texts) {
    RunShape texts_shape = shape;
    texts_shape.texts = true;
    const auto runner = model_.runner(policy, texts_shape);
    held_cache_ = runner->holds_cache();
    return runner->score_texts(texts, {});
  }

  Scores streamed(std::string_view policy, std::span<const std::int32_t> ids) {
    const auto runner =
        model_.runner(policy, {.tokens = static_cast<std::int32_t>(ids.size()) - 1});
    return stream(*runner, ids);
  }

  [[nodiscard]] Texts uneven_texts() const {
    return {
        model_.ids("persuasion", 90), model_.ids("doctor-moreau", 61), model_.ids("persuasion", 2)};
  }

  // In f32 the perplexities agree to 1e-4, the contract of the pass, and every likelihood to the
  // rounding of sums in another order through eight layers. Half types round every activation:
  // there tokens differ by more, independently, so that their mean differs by less. A codec turns a
  // rounding of an element into a step of its code, so that single tokens move by hundredths, and
  // perplexities of 8 bits by what they are held to against the oracles.
  void expect_close(const Scores& actual, const Scores& expected, const std::string& what) {
    const bool exact = GetParam().compute == DType::kF32;
    const bool coded = what.find("int8") != std::string::npos || what.starts_with("kivi");
    ASSERT_EQ(actual.size(), expected.size()) << what;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i].nll, expected[i].nll, exact ? (coded ? 5e-2 : 1e-3) : 0.5)
          << what << ", token " << i;
    }
    const double mean_bound =
        exact ? (coded ? 2e-3 : 1e-4) : 0.1 / std::sqrt(static_cast<double>(expected.size()));
    EXPECT_NEAR(std::exp(mean_nll(actual) - mean_nll(expected)), 1.0, mean_bound) << what;
  }

  ShippedModel model_{GetParam().model, GetParam().device, GetParam().compute};
  bool held_cache_ = false;
};

TEST_P(TextScores, OnePassEqualsSteps) {
  const Texts ids{model_.ids("looking-glass", 172)};
  for (const char* policy : {"baseline",
                             "window:budget=1",
                             "window:budget=63",
                             "window:budget=64,positions=original",
                             "streaming:budget=4,sinks=4",
                             "streaming:budget=5,sinks=4",
                             "streaming:budget=70,sinks=64",
                             "streaming:budget=100,sinks=65,positions=original",
                             "streaming:budget=64",
                             "streaming:budget=100,sinks=0",
                             "streaming:budget=170",
                             "streaming:budget=171",
                             "streaming:budget=4000"}) {
    const Scores expected = streamed(policy, ids[0]);
    // Borders of a chunk inside the text, and none.
    for (const std::int32_t chunk : {0, 37, 128}) {
      const auto actual = scored(policy, {.tokens = 171, .chunk = chunk}, ids);
      EXPECT_FALSE(held_cache_) << policy;
      expect_close(actual[0], expected, std::string(policy) + ", chunk " + std::to_string(chunk));
    }
  }
}

TEST_P(TextScores, TheDefaultPoliciesAgreeBeyondTheirBudgets) {
  const Texts ids{model_.ids("persuasion", 1100)};
  for (const char* policy : {"baseline", "streaming_256", "streaming_512", "streaming_1024"}) {
    expect_close(scored(policy, {.tokens = 1099}, ids)[0], streamed(policy, ids[0]), policy);
  }
}

// A budget matters, so that the comparison above could fail.
TEST_P(TextScores, BudgetsAndPositionsShow) {
  const Texts ids{model_.ids("looking-glass", 302)};
  const double full = mean_nll(scored("baseline", {.tokens = 301}, ids)[0]);
  const double cache = mean_nll(scored("streaming:budget=64", {.tokens = 301}, ids)[0]);
  const double original =
      mean_nll(scored("streaming:budget=64,positions=original", {.tokens = 301}, ids)[0]);
  EXPECT_GT(std::abs(full - cache), 1e-3);
  EXPECT_GT(std::abs(original - cache), 1e-4);
}

// What needs steps takes them, and its rows are independent of their neighbours.
TEST_P(TextScores, RowsOfABatchEqualThemselvesAlone) {
  const Texts texts = uneven_texts();
  std::vector<const char*> policies{
      "random:budget=24", "streaming:budget=24+int8", "kivi4:group=16,residual=32"};
  if (GetParam().compute == DType::kF32) {
    // Their choices follow from scores, which half types may bring into another order.
    for (const char* policy :
         {"h2o:budget=24", "tova:budget=24", "rkv:budget=24", "quest:budget=32"}) {
      policies.push_back(policy);
    }
  }
  for (const char* policy : policies) {
    const auto together = scored(policy, {.batch = 4, .tokens = 89}, texts);
    EXPECT_TRUE(held_cache_) << policy;
    ASSERT_EQ(together.size(), texts.size());
    for (std::size_t row = 0; row < texts.size(); ++row) {
      expect_close(together[row],
                   streamed(policy, texts[row]),
                   std::string(policy) + ", row " + std::to_string(row));
    }
  }
}

TEST_P(TextScores, RowsOfAPassEqualThemselvesAlone) {
  const Texts texts = uneven_texts();
  for (const char* policy : {"baseline", "streaming:budget=24"}) {
    // Rows in one chunk, and one after another.
    for (const std::int32_t chunk : {0, 50}) {
      const auto together = scored(policy, {.batch = 4, .tokens = 89, .chunk = chunk}, texts);
      for (std::size_t row = 0; row < texts.size(); ++row) {
        const std::span own(&texts[row], 1);
        expect_close(together[row], scored(policy, {.tokens = 89}, own)[0], policy);
      }
    }
  }
}

TEST_P(TextScores, TextsAfterOthersScoreAlike) {
  const Texts first{model_.ids("persuasion", 90)};
  const Texts second{model_.ids("doctor-moreau", 60)};
  for (const char* policy : {"streaming:budget=24", "h2o:budget=24"}) {
    const Scores expected = streamed(policy, second[0]);
    const auto runner = model_.runner(policy, {.tokens = 89, .texts = true});
    (void)runner->score_texts(first, {});
    expect_close(runner->score_texts(second, {})[0], expected, policy);
  }
}

TEST_P(TextScores, HoldsWhatItPlans) {
  for (const char* spec : {"baseline", "streaming:budget=64", "h2o:budget=64"}) {
    const RunShape shape{.batch = 2, .tokens = 400, .texts = true};
    const MemoryPlan plan =
        Runner::plan(model_.config(), model_.backend(), kvcompress::parse_policy(spec), shape);
    const auto runner = model_.runner(spec, shape);
    const MemoryStats stats = model_.backend().pool().stats();
    EXPECT_EQ(stats.of(MemoryClass::kKv), plan.kv) << spec;
    EXPECT_EQ(stats.of(MemoryClass::kActivations), plan.activations) << spec;
    EXPECT_EQ(stats.of(MemoryClass::kWorkspace), plan.workspace) << spec;
    EXPECT_EQ(stats.of(MemoryClass::kObservations), plan.observations) << spec;
    EXPECT_EQ(plan.kv > 0, runner->holds_cache()) << spec;
  }
}

TEST_P(TextScores, APassTakesNoMoreRowsThanFillAProduct) {
  const auto useful = [&](const char* spec, const RunShape& shape) {
    return Runner::useful_batch(
        model_.config(), model_.backend(), kvcompress::parse_policy(spec), shape);
  };
  const RunShape shape{.batch = 64, .tokens = 100, .chunk = 1000, .texts = true};
  EXPECT_EQ(useful("streaming_256", shape), 10);
  EXPECT_EQ(useful("h2o_256", shape), 64);
  EXPECT_EQ(useful("streaming_256", {.batch = 64, .tokens = 2000, .chunk = 1000, .texts = true}),
            1);
  EXPECT_EQ(useful("baseline", {.batch = 3, .tokens = 100, .chunk = 1000, .texts = true}), 3);
}

TEST_P(TextScores, KeepsWhatStepsKeep) {
  const auto kept = [&](const char* spec, std::int32_t steps) {
    return model_.runner(spec, {.tokens = 400, .texts = true})->kept_of_steps(steps).mean;
  };
  EXPECT_EQ(kept("streaming:budget=64", 300), 64.0);
  EXPECT_EQ(kept("streaming:budget=64", 63), 63.0);
  EXPECT_EQ(kept("h2o:budget=64", 300), 64.0);
  EXPECT_EQ(kept("baseline", 300), 300.0);
}

INSTANTIATE_TEST_SUITE_P(Targets, TextScores, testing::ValuesIn(kTargets), name_of_target);

}  // namespace
}  // namespace kvg::model
