// Divergences of two runners against distributions computed here in double precision.

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/model/shipped_model.h"
#include "tests/model/shipped_targets.h"
#include "tests/support/reference.h"

namespace kvg::model {
namespace {

using testing_support::ShippedModel;
using testing_support::Values;
using Texts = std::vector<std::vector<std::int32_t>>;
using Divergences = std::vector<std::vector<float>>;

class DivergencesOn : public testing::TestWithParam<Target> {
 protected:
  Divergences divergences(std::string_view policy,
                          const RunShape& shape,
                          const Texts& texts,
                          std::size_t prompt = 0) {
    const auto baseline = model_.runner("baseline", shape);
    const auto runner = model_.runner(policy, shape);
    return runner->divergences(*baseline, texts, prompt, {});
  }

  // Logits of every token of a text after those before it, fed one by one after a prompt.
  std::vector<Values> logits(std::string_view policy,
                             const RunShape& shape,
                             std::span<const std::int32_t> ids,
                             std::size_t prompt = 0) {
    const auto runner = model_.runner(policy, shape);
    const std::vector<std::int32_t> none{kNoTarget};
    std::vector<Values> all;
    const auto keep = [&] {
      const std::vector<float> row = runner->logits();
      all.emplace_back(row.begin(), row.end());
    };
    runner->begin();
    if (prompt > 0) {
      (void)runner->prefill(ids.first(prompt), none);
      keep();
    }
    for (std::size_t at = prompt; at + 1 < ids.size(); ++at) {
      (void)runner->step(ids.subspan(at, 1), none);
      keep();
    }
    return all;
  }

  // In f32 a divergence is off by what rounding moves the logits, some 1e-5 of them, times their
  // distance. Half types move them by hundredths, and by as much where steps of several rows or one
  // pass take another order.
  void expect_close(const std::vector<float>& actual,
                    const std::vector<Values>& baseline,
                    const std::vector<Values>& policy) {
    const bool exact = GetParam().compute == DType::kF32;
    ASSERT_EQ(actual.size(), baseline.size());
    double sum = 0.0;
    double expected_sum = 0.0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double expected = testing_support::divergence(baseline[i], policy[i]);
      const double rounding =
          exact ? 1e-4 * std::sqrt(expected) + 1e-8 : 0.1 * std::sqrt(expected) + 0.01;
      ASSERT_NEAR(static_cast<double>(actual[i]), expected, rounding) << "token " << i;
      sum += static_cast<double>(actual[i]);
      expected_sum += expected;
    }
    // Something diverges, so that the comparison can fail.
    EXPECT_GT(expected_sum / static_cast<double>(actual.size()), 0.01);
    EXPECT_NEAR(sum / expected_sum, 1.0, exact ? 1e-4 : 5e-2);
  }

  ShippedModel model_{GetParam().model, GetParam().device, GetParam().compute};
};

TEST_P(DivergencesOn, OnePassEqualsFullLogits) {
  const Texts texts{model_.ids("persuasion", 200), model_.ids("looking-glass", 150)};
  const RunShape shape{.batch = 2, .tokens = 199, .texts = true};
  const Divergences actual = divergences("streaming:budget=32", shape, texts);
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const RunShape steps{.tokens = 199};
    expect_close(actual[row],
                 logits("baseline", steps, texts[row]),
                 logits("streaming:budget=32", steps, texts[row]));
  }
}

TEST_P(DivergencesOn, StepsEqualFullLogits) {
  const Texts texts{model_.ids("persuasion", 120), model_.ids("looking-glass", 90)};
  const Divergences actual = divergences("random:budget=24", {.batch = 3, .tokens = 119}, texts);
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const RunShape steps{.tokens = 119};
    expect_close(actual[row],
                 logits("baseline", steps, texts[row]),
                 logits("random:budget=24", steps, texts[row]));
  }
}

TEST_P(DivergencesOn, StepsAfterAPromptEqualFullLogits) {
  const Texts texts{model_.ids("persuasion", 120), model_.ids("looking-glass", 100)};
  const Divergences actual =
      divergences("knorm:budget=24", {.batch = 2, .prompt = 64, .tokens = 119}, texts, 64);
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const RunShape alone{.prompt = 64, .tokens = 119};
    expect_close(actual[row],
                 logits("baseline", alone, texts[row], 64),
                 logits("knorm:budget=24", alone, texts[row], 64));
  }
}

// What keeps everything is no policy apart: the same operations on the same numbers.
TEST_P(DivergencesOn, ABudgetAsLongAsTheTextDoesNotDiverge) {
  const Texts texts{model_.ids("persuasion", 100)};
  for (const char* policy : {"window:budget=99",
                             "window:budget=4000",
                             "streaming:budget=99",
                             "streaming:budget=4000,positions=original",
                             "baseline"}) {
    for (const bool pass : {true, false}) {
      const Divergences actual = divergences(policy, {.tokens = 99, .texts = pass}, texts);
      EXPECT_EQ(actual, (Divergences{std::vector<float>(99, 0.0F)})) << policy << ", " << pass;
    }
  }
  const Divergences split =
      divergences("window:budget=99", {.prompt = 40, .tokens = 99}, texts, 40);
  EXPECT_EQ(split, (Divergences{std::vector<float>(60, 0.0F)}));
}

TEST_P(DivergencesOn, ABudgetThatDropsOneTokenDiverges) {
  const Texts texts{model_.ids("persuasion", 100)};
  for (const bool pass : {true, false}) {
    const Divergences actual =
        divergences("window:budget=97", {.tokens = 99, .texts = pass}, texts);
    EXPECT_GT(actual[0].back(), 0.0F) << pass;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, DivergencesOn, testing::ValuesIn(kTargets), name_of_target);

}  // namespace
}  // namespace kvg::model
