// One contract for every selection with every codec, on a llama and a neox, token by token and with
// a prompt: what is kept, what is held, and that nothing of one sequence reaches another.

#include "tests/model/catalogue_contract.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace kvg::model {
namespace {

using kvcompress::Feed;
using kvcompress::KvCache;
using testing_support::CatalogueContract;
using testing_support::Chosen;
using testing_support::codec_texts;
using testing_support::CodecText;
using testing_support::kBudget;
using testing_support::kPromptTokens;
using testing_support::random_ids;
using testing_support::relative_error;
using testing_support::shape_of;
using testing_support::Trace;
using testing_support::trace_of;

// Another number of rows at once sums in another order: roundings of f32, grown through 3 layers.
constexpr double kRounding = 2e-5;
// A rounding may move one code of an entry to its neighbour, or one entry with a near tie: about
// one element in a million a step, worth one code of 2 bits at most.
constexpr double kOneCode = 5e-2;

double tolerance_of(const CodecText& codec) {
  return codec.text.empty() || codec.text == "+f32" ? kRounding : kOneCode;
}

TEST_P(CatalogueContract, RefusesWhatDoesNotGoTogetherAndNothingElse) {
  for (const Feed feed : {Feed::kSteps, Feed::kPrompt}) {
    for (const Chosen& selection : chosen(feed)) {
      for (const CodecText& codec : codec_texts()) {
        const std::string spec = selection.spec + codec.text;
        SCOPED_TRACE(spec);
        std::string reason;
        try {
          const kvcompress::Policy policy = kvcompress::parse_policy(spec, feed);
          (void)Runner::plan(model_.config(), model_.backend(), policy, shape_of(feed));
        } catch (const InvalidArgument& error) {
          reason = error.what();
        }
        EXPECT_EQ(!reason.empty(), is_refused(selection, codec, feed)) << reason;
      }
    }
  }
}

TEST_P(CatalogueContract, StepsKeepTheBudget) {
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    if (feed == Feed::kPrompt) {
      return;
    }
    const auto ids = random_ids(kBudget + 4, 1);
    const auto runner = model_.runner(selection.spec + codec.text, {.tokens = kBudget + 4});
    runner->begin();
    EXPECT_EQ(runner->cache().mean_entries(), 0.0);
    const Trace trace = trace_of(*runner, ids, 0);
    for (std::int32_t n = 1; n <= kBudget + 4; ++n) {
      EXPECT_EQ(trace.entries[static_cast<std::size_t>(n - 1)],
                entries_by_definition(selection, 0, n))
          << n;
    }
    EXPECT_EQ(runner->cache().tokens_fed(), kBudget + 4);
  });
}

TEST_P(CatalogueContract, PromptsKeepTheBudgetAndStepsGoOnAsTheyShould) {
  constexpr std::int32_t kSteps = 3;
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    if (feed == Feed::kSteps) {
      return;
    }
    const auto runner = model_.runner(
        selection.spec + codec.text,
        {.prompt = 3 * kBudget, .tokens = 3 * kBudget + kSteps, .shortest_prompt = 1});
    for (const std::int32_t prompt : {1, kBudget - 1, kBudget, kBudget + 1, 3 * kBudget}) {
      const auto ids = random_ids(static_cast<std::size_t>(prompt) + kSteps, 2);
      const Trace trace = trace_of(*runner, ids, prompt);
      for (std::int32_t steps = 0; steps <= kSteps; ++steps) {
        EXPECT_DOUBLE_EQ(trace.entries[static_cast<std::size_t>(steps)],
                         entries_by_definition(selection, prompt, steps))
            << prompt << " + " << steps;
      }
      EXPECT_DOUBLE_EQ(trace.kept.mean, entries_by_definition(selection, prompt, 0)) << prompt;
    }
  });
}

TEST_P(CatalogueContract, AShortPromptGrowsIntoTheBudget) {
  constexpr std::int32_t kShort = kBudget - 3;
  constexpr std::int32_t kSteps = kBudget + 2;
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    if (feed == Feed::kSteps) {
      return;
    }
    const auto runner =
        model_.runner(selection.spec + codec.text, {.prompt = kShort, .tokens = kShort + kSteps});
    const Trace trace = trace_of(*runner, random_ids(kShort + kSteps, 9), kShort);
    for (std::int32_t steps = 0; steps <= kSteps; ++steps) {
      EXPECT_DOUBLE_EQ(trace.entries[static_cast<std::size_t>(steps)],
                       entries_by_definition(selection, kShort, steps))
          << steps;
    }
  });
}

TEST_P(CatalogueContract, HoldsTheBytesThatItPlansAndReports) {
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    const std::string spec = selection.spec + codec.text;
    const kvcompress::Policy policy = kvcompress::parse_policy(spec, feed);
    RunShape shape = shape_of(feed);
    shape.batch = 2;
    const MemoryPlan plan = Runner::plan(model_.config(), model_.backend(), policy, shape);
    const auto runner = model_.runner(spec, shape);
    Pool& pool = model_.backend().pool();
    pool.reset_peak();
    (void)trace_of(*runner, random_ids(static_cast<std::size_t>(shape.tokens), 3), shape.prompt);
    const MemoryStats stats = pool.stats();
    EXPECT_EQ(stats.of(MemoryClass::kKv), KvCache::kv_bytes(policy, runner->cache().shape()));
    EXPECT_EQ(stats.of(MemoryClass::kObservations),
              KvCache::observation_bytes(policy, runner->cache().shape()));
    EXPECT_EQ(stats.of(MemoryClass::kKv), plan.kv);
    EXPECT_EQ(stats.of(MemoryClass::kObservations), plan.observations);
    EXPECT_EQ(stats.requested_peak, plan.total()) << "nothing is allocated on the way";
  });
}

TEST_P(CatalogueContract, ARunAfterAnotherEqualsItAloneAndTheFutureIsNotSeen) {
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    const std::string spec = selection.spec + codec.text;
    const RunShape shape = shape_of(feed);
    const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 4);
    const Trace alone = trace_of(*model_.runner(spec, shape), ids, shape.prompt);

    constexpr std::size_t kChanged = 30;
    auto other = ids;
    for (std::size_t i = kChanged; i < other.size(); ++i) {
      other[i] = (other[i] + 1) % model_.config().vocab;
    }
    const auto runner = model_.runner(spec, shape);
    const Trace before = trace_of(*runner, other, shape.prompt);
    const std::size_t first = shape.prompt > 0 ? static_cast<std::size_t>(shape.prompt) - 1 : 0;
    for (std::size_t i = 0; i < alone.logits.size(); ++i) {
      ASSERT_EQ(before.logits[i] == alone.logits[i], first + i < kChanged) << first + i;
    }
    const Trace after = trace_of(*runner, ids, shape.prompt);
    ASSERT_EQ(after.logits, alone.logits);
    EXPECT_EQ(after.entries, alone.entries);
    EXPECT_EQ(after.kept.mean, alone.kept.mean);
    EXPECT_EQ(after.kept.min, alone.kept.min);
    EXPECT_EQ(after.kept.max, alone.kept.max);
  });
}

// Rows of a batch: `texts` of equal length, interleaved as a runner takes them.
std::vector<float> last_logits(Runner& runner,
                               const std::vector<std::vector<std::int32_t>>& texts,
                               std::int32_t prompt) {
  const std::vector<std::int32_t> none(texts.size(), kNoTarget);
  runner.begin();
  if (prompt > 0) {
    std::vector<std::int32_t> prompts;
    for (const auto& text : texts) {
      prompts.insert(prompts.end(), text.begin(), text.begin() + prompt);
    }
    (void)runner.prefill(prompts, none);
  }
  for (auto i = static_cast<std::size_t>(prompt); i < texts[0].size(); ++i) {
    std::vector<std::int32_t> tokens(texts.size());
    std::ranges::transform(texts, tokens.begin(), [i](const auto& text) { return text[i]; });
    (void)runner.step(tokens, none);
  }
  return runner.logits();
}

TEST_P(CatalogueContract, ABatchRowKnowsNothingOfTheOthers) {
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    const std::string spec = selection.spec + codec.text;
    RunShape shape = shape_of(feed);
    const auto tokens = static_cast<std::size_t>(shape.tokens);
    const auto vocab = static_cast<std::size_t>(model_.config().vocab);
    const auto a = random_ids(tokens, 5);
    const auto b = random_ids(tokens, 6);
    const auto c = random_ids(tokens, 7);
    const std::vector<float> alone = last_logits(*model_.runner(spec, shape), {b}, shape.prompt);
    shape.batch = 3;
    const auto runner = model_.runner(spec, shape);
    const auto row = [&](const std::vector<float>& logits, std::size_t index) {
      return std::vector<float>(logits.begin() + static_cast<std::ptrdiff_t>(index * vocab),
                                logits.begin() + static_cast<std::ptrdiff_t>((index + 1) * vocab));
    };
    const std::vector<float> mixed = last_logits(*runner, {a, b, c}, shape.prompt);
    const std::vector<float> equal = last_logits(*runner, {b, b, b}, shape.prompt);
    ASSERT_EQ(row(mixed, 1), row(equal, 1));
    EXPECT_LT(relative_error(row(mixed, 1), alone), tolerance_of(codec));
  });
}

TEST_P(CatalogueContract, ChunkedPrefillEqualsOneShot) {
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    if (feed == Feed::kSteps) {
      return;
    }
    const std::string spec = selection.spec + codec.text;
    RunShape shape = shape_of(feed);
    const auto ids = random_ids(std::size_t{kPromptTokens} + 2, 8);
    const Trace whole = trace_of(*model_.runner(spec, shape), ids, kPromptTokens);
    shape.chunk = 7;
    const Trace chunked = trace_of(*model_.runner(spec, shape), ids, kPromptTokens);
    EXPECT_EQ(chunked.kept.mean, whole.kept.mean);
    EXPECT_EQ(chunked.kept.min, whole.kept.min);
    EXPECT_EQ(chunked.kept.max, whole.kept.max);
    EXPECT_LT(relative_error(chunked.logits[0], whole.logits[0]), kRounding);
    EXPECT_LT(relative_error(chunked.logits[2], whole.logits[2]), tolerance_of(codec));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue,
    CatalogueContract,
    testing::Combine(testing::Values("llama", "neox"),
                     testing::Range(std::size_t{0}, kvcompress::selections().size())),
    [](const auto& param_info) {
      return std::string(std::get<0>(param_info.param)) + "_" +
             std::string(kvcompress::selections()[std::get<1>(param_info.param)].name);
    });

}  // namespace
}  // namespace kvg::model
