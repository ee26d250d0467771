#include "model/runner.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/model/shipped_model.h"
#include "tests/model/shipped_targets.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using testing_support::ShippedModel;
using testing_support::stream;

constexpr const char* kText = "looking-glass";

// The largest difference over the largest value: one number for a whole row of logits.
double relative_error(std::span<const float> actual, std::span<const float> expected) {
  double worst = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(actual[i]) - expected[i]));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

// Sums run in another order when another number of rows is computed at once: a few roundings of the
// compute type, grown through eight layers.
double rounding(DType compute) {
  switch (compute) {
    case DType::kF32:
      return 2e-5;
    case DType::kF16:
      return 1e-2;
    default:
      return 5e-2;
  }
}

// What a run over a text leaves behind.
struct Outcome {
  std::vector<TokenScore> scores;
  std::vector<float> logits;
};

void expect_same(const Outcome& actual, const Outcome& expected) {
  ASSERT_EQ(actual.scores.size(), expected.scores.size());
  for (std::size_t i = 0; i < expected.scores.size(); ++i) {
    ASSERT_EQ(actual.scores[i].nll, expected.scores[i].nll) << i;
    ASSERT_EQ(actual.scores[i].best, expected.scores[i].best) << i;
  }
  EXPECT_EQ(actual.logits, expected.logits);
}

class RunnerOn : public testing::TestWithParam<Target> {
 protected:
  Outcome streamed(std::string_view policy,
                   const RunShape& shape,
                   std::span<const std::int32_t> ids) {
    const auto runner = model_.runner(policy, shape);
    Outcome outcome;
    outcome.scores = stream(*runner, ids);
    outcome.logits = runner->logits();
    return outcome;
  }

  ShippedModel model_{GetParam().model, GetParam().device, GetParam().compute};
};

TEST_P(RunnerOn, ABudgetAsLongAsTheTextIsBitIdenticalToBaseline) {
  const auto ids = model_.ids(kText, 150);
  const int fed = static_cast<int>(ids.size()) - 1;
  const Outcome expected = streamed("baseline", {.tokens = fed}, ids);
  const std::string budget = std::to_string(fed);
  for (const std::string& spec :
       std::vector<std::string>{"window:budget=" + budget,
                                "streaming:budget=" + budget,
                                "streaming:budget=" + budget + ",positions=original"}) {
    expect_same(streamed(spec, {.tokens = fed}, ids), expected);
  }
}

TEST_P(RunnerOn, AStepDoesNotDependOnTheCapacityPlanned) {
  const auto ids = model_.ids(kText, 100);
  expect_same(streamed("baseline", {.tokens = 1500}, ids),
              streamed("baseline", {.tokens = 99}, ids));
}

TEST_P(RunnerOn, ARunAfterAnotherEqualsAFreshOne) {
  const auto first = model_.ids("persuasion", 90);
  const auto second = model_.ids(kText, 90);
  const RunShape shape{.prompt = 40, .tokens = 89};
  const Outcome expected = streamed("streaming:budget=32", shape, second);
  const auto used = model_.runner("streaming:budget=32", shape);
  (void)stream(*used, first);
  used->begin();
  (void)used->prefill(std::span(first).first(40), std::span(first).subspan(40, 1));
  const auto scores = stream(*used, second);
  expect_same({scores, used->logits()}, expected);
}

// Scratch, caches and captured steps are a runner's own: what others do between its calls shows in
// no bit, whether they are made before it, after it, or are gone.
TEST_P(RunnerOn, RunnersSideBySideEqualThemselvesAlone) {
  const auto first = model_.ids("persuasion", 120);
  const auto second = model_.ids(kText, 60);
  const RunShape small{.prompt = 20, .tokens = 59};
  const RunShape large{.tokens = 119};
  // Selections that score what they see, a form that is encoded, and scratch of two sizes.
  const Outcome expected_first = streamed("h2o:budget=24", large, first);
  const Outcome expected_second = streamed("knorm:budget=24+int8", small, second);
  const auto one = model_.runner("h2o:budget=24", large);
  const auto other = model_.runner("knorm:budget=24+int8", small);
  one->begin();
  other->begin();
  Outcome of_one;
  Outcome of_other;
  for (std::size_t i = 0; i + 1 < first.size(); ++i) {
    const auto step = [i](Runner& runner, std::span<const std::int32_t> ids) {
      return runner.step(ids.subspan(i, 1), ids.subspan(i + 1, 1))[0];
    };
    of_one.scores.push_back(step(*one, first));
    if (i + 1 < second.size()) {
      of_other.scores.push_back(step(*other, second));
    }
    if (i == 30) {
      const auto passing = model_.runner("baseline", {.tokens = 50, .texts = true});
      const std::vector<std::vector<std::int32_t>> text{model_.ids("persuasion", 51)};
      (void)passing->score_texts(text, {});
    }
  }
  of_one.logits = one->logits();
  of_other.logits = other->logits();
  expect_same(of_one, expected_first);
  expect_same(of_other, expected_second);
}

TEST_P(RunnerOn, FutureTokensNeverChangePastScores) {
  auto ids = model_.ids(kText, 80);
  const auto runner = model_.runner("streaming:budget=24", {.tokens = 79});
  const auto before = stream(*runner, ids);
  for (std::size_t i = 50; i < ids.size(); ++i) {
    ids[i] = (ids[i] + 17) % 4000;
  }
  const auto after = stream(*runner, ids);
  for (std::size_t i = 0; i < 49; ++i) {
    ASSERT_EQ(after[i].nll, before[i].nll) << i;
  }
  EXPECT_NE(after[49].nll, before[49].nll);
}

TEST_P(RunnerOn, ABatchRowEqualsThatRowAlone) {
  constexpr std::size_t kPrompt = 30;
  constexpr std::size_t kSteps = 20;
  const RunShape shape{.batch = 3, .prompt = 30, .tokens = 50};
  std::vector<std::vector<std::int32_t>> rows;
  std::vector<std::int32_t> prompts;
  for (const char* text : {"persuasion", "doctor-moreau", "looking-glass"}) {
    rows.push_back(model_.ids(text, kPrompt + kSteps));
    prompts.insert(prompts.end(), rows.back().begin(), rows.back().begin() + kPrompt);
  }
  const std::vector<std::int32_t> none(3, kNoTarget);
  std::vector<float> logits;
  {
    const auto together = model_.runner("streaming:budget=24", shape);
    (void)together->prefill(prompts, none);
    for (std::size_t i = kPrompt; i < kPrompt + kSteps; ++i) {
      (void)together->step(std::vector<std::int32_t>{rows[0][i], rows[1][i], rows[2][i]}, none);
    }
    logits = together->logits();
  }
  const auto alone = model_.runner("streaming:budget=24", {.prompt = 30, .tokens = 50});
  const auto vocab = static_cast<std::size_t>(model_.config().vocab);
  for (std::size_t row = 0; row < 3; ++row) {
    alone->begin();
    const std::span ids(rows[row]);
    (void)alone->prefill(ids.first(kPrompt), std::span(none).first(1));
    for (std::size_t i = kPrompt; i < kPrompt + kSteps; ++i) {
      (void)alone->step(ids.subspan(i, 1), std::span(none).first(1));
    }
    EXPECT_LT(relative_error(std::span(logits).subspan(row * vocab, vocab), alone->logits()),
              rounding(GetParam().compute));
  }
}

TEST_P(RunnerOn, BatchRowsOfOneTextAreBitIdentical) {
  const auto ids = model_.ids(kText, 30);
  const auto runner = model_.runner("window:budget=16", {.batch = 3, .tokens = 30});
  runner->begin();
  for (const std::int32_t id : ids) {
    const auto scores =
        runner->step(std::vector<std::int32_t>(3, id), std::vector<std::int32_t>(3, 5));
    ASSERT_EQ(scores[0].nll, scores[1].nll);
    ASSERT_EQ(scores[0].nll, scores[2].nll);
  }
}

TEST_P(RunnerOn, ChunkedPrefillEqualsOneShot) {
  const auto ids = model_.ids(kText, 131);
  const std::span target = std::span(ids).last(1);
  // The logits of the prompt and of a step after it.
  const auto logits = [&](const char* spec, std::int32_t chunk) {
    const auto runner = model_.runner(spec, {.prompt = 130, .tokens = 131, .chunk = chunk});
    (void)runner->prefill(std::span(ids).first(130), target);
    std::vector<float> both = runner->logits();
    (void)runner->step(target, target);
    const std::vector<float> after = runner->logits();
    both.insert(both.end(), after.begin(), after.end());
    return both;
  };
  for (const char* spec : {"baseline", "streaming:budget=48"}) {
    EXPECT_LT(relative_error(logits(spec, 37), logits(spec, 0)), rounding(GetParam().compute));
  }
}

// A cache that takes all there is gets prompts chunk by chunk through all layers, others layer by
// layer; forms that are encoded are read by steps alone, so both leave the same logits.
TEST_P(RunnerOn, TheOrderOfChunksAndLayersShowsInNoBit) {
  constexpr std::size_t kPrompt = 130;
  std::vector<std::int32_t> prompts;
  for (const char* text : {"persuasion", kText}) {
    const auto ids = model_.ids(text, kPrompt);
    prompts.insert(prompts.end(), ids.begin(), ids.end());
  }
  const auto logits = [&](const char* spec, std::int32_t chunk) {
    const auto runner =
        model_.runner(spec, {.batch = 2, .prompt = kPrompt, .tokens = kPrompt, .chunk = chunk});
    (void)runner->prefill(prompts, std::vector<std::int32_t>(2, kNoTarget));
    return runner->logits();
  };
  for (const std::int32_t chunk : {37, 0}) {
    const std::vector<float> whole = logits("baseline", chunk);
    EXPECT_EQ(whole, logits("int8", chunk)) << "chunk " << chunk;
    EXPECT_EQ(whole, logits("h2o:budget=48", chunk)) << "chunk " << chunk;
    EXPECT_NE(std::vector(whole.begin(), whole.begin() + model_.config().vocab),
              std::vector(whole.begin() + model_.config().vocab, whole.end()));
  }
}

TEST_P(RunnerOn, PrefillEqualsStepsWhenNothingIsCut) {
  const auto ids = model_.ids(kText, 100);
  const Outcome steps = streamed("baseline", {.tokens = 99}, ids);
  const auto prompt = model_.runner("baseline", {.prompt = 99, .tokens = 99});
  const auto score = prompt->prefill(std::span(ids).first(99), std::span(ids).last(1))[0];
  EXPECT_EQ(score.best, steps.scores.back().best);
  EXPECT_LT(relative_error(prompt->logits(), steps.logits), rounding(GetParam().compute));
}

TEST_P(RunnerOn, HoldsWhatItPlans) {
  for (const char* spec : {"baseline", "streaming:budget=64", "window:budget=500"}) {
    const RunShape shape{.batch = 2, .prompt = 300, .tokens = 400};
    const MemoryPlan plan = Runner::plan(model_.config(),
                                         model_.backend(),
                                         kvcompress::parse_policy(spec, kvcompress::Feed::kPrompt),
                                         shape);
    const auto runner = model_.runner(spec, shape);
    const MemoryStats stats = model_.backend().pool().stats();
    EXPECT_EQ(stats.of(MemoryClass::kWeights), plan.weights);
    EXPECT_EQ(stats.of(MemoryClass::kKv), plan.kv);
    EXPECT_EQ(stats.of(MemoryClass::kActivations), plan.activations);
    EXPECT_EQ(stats.of(MemoryClass::kWorkspace), plan.workspace);
    EXPECT_EQ(stats.of(MemoryClass::kObservations), plan.observations);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RunnerOn, testing::ValuesIn(kTargets), name_of_target);

TEST(Runner, RefusesARunLongerThanTheSlidingWindow) {
  Config config = find_model("tiny-llama", 0).config;
  config.sliding_window = 64;
  const auto backend = kernels::make_backend(kernels::find_device("cpu"), {});
  const kvcompress::Policy policy = kvcompress::parse_policy("baseline");
  EXPECT_GT(Runner::plan(config, *backend, policy, {.tokens = 64}).total(), 0U);
  testing_support::expect_invalid(
      [&] { (void)Runner::plan(config, *backend, policy, {.tokens = 65}); },
      "sliding_window=64, which is not supported beyond that length; this run feeds 65 tokens");
}

}  // namespace
}  // namespace kvg::model
