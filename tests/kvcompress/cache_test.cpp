#include "kvcompress/cache.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "kernels/core/error.h"

namespace kvg::kvcompress {
namespace {

constexpr int kHeadDim = 4;

std::unique_ptr<kernels::Backend> cpu() {
  return kernels::make_backend(kernels::find_device("cpu"), {.threads = 1});
}

CacheShape small_shape(std::int32_t tokens) {
  return {.layers = 2, .batch = 2, .kv_heads = 3, .head_dim = kHeadDim, .tokens = tokens};
}

// What the definition says attention sees at every step: everything so far, less one entry a step
// once there are more than the budget, the oldest that is no sink.
std::vector<std::vector<int>> visible_by_definition(int budget, int sinks, int first, int steps) {
  std::vector<std::vector<int>> visible;
  std::vector<int> kept;
  for (int position = 0; position < first + steps; ++position) {
    kept.push_back(position);
    if (position >= first) {
      visible.push_back(kept);
    }
    if (budget != 0 && static_cast<int>(kept.size()) > budget) {
      kept.erase(kept.begin() + std::min(sinks, budget));
    }
  }
  return visible;
}

// Writes the position of the newest token as its key and value, in every layer, row and head.
void write_newest(const KvCache& cache) {
  const kernels::StepCursor cursor = *cache.cursor();
  for (int layer = 0; layer < cache.shape().layers; ++layer) {
    const kernels::KvView view = cache.layer(layer);
    for (int row = 0; row < cache.shape().batch; ++row) {
      for (int head = 0; head < cache.shape().kv_heads; ++head) {
        const std::ptrdiff_t at =
            row * view.batch_stride + head * view.head_stride + cursor.slot * kHeadDim;
        for (void* side : {view.keys, view.values}) {
          std::fill_n(
              static_cast<float*>(side) + at, kHeadDim, static_cast<float>(cursor.position));
        }
      }
    }
  }
}

std::vector<int> visible_positions(const KvCache& cache, int layer, int row, int head) {
  const kernels::KvView view = cache.layer(layer);
  std::vector<int> positions;
  for (int slot = 0; slot < cache.cursor()->entries; ++slot) {
    const std::ptrdiff_t at =
        row * view.batch_stride + head * view.head_stride + std::ptrdiff_t{slot} * kHeadDim;
    const float key = static_cast<const float*>(view.keys)[at];
    EXPECT_EQ(key, static_cast<const float*>(view.values)[at + kHeadDim - 1]);
    positions.push_back(static_cast<int>(key));
  }
  std::ranges::sort(positions);
  return positions;
}

struct Case {
  const char* spec;
  int budget;
  int sinks;
};

class StaticPolicies : public testing::TestWithParam<Case> {};

TEST_P(StaticPolicies, AttentionSeesWhatTheDefinitionSays) {
  const auto backend = cpu();
  const int steps = 40;
  KvCache cache(*backend, parse_policy(GetParam().spec), small_shape(steps));
  const auto expected = visible_by_definition(GetParam().budget, GetParam().sinks, 0, steps);
  for (int step = 0; step < steps; ++step) {
    write_newest(cache);
    EXPECT_EQ(visible_positions(cache, 0, 0, 0), expected[static_cast<std::size_t>(step)]);
    EXPECT_EQ(visible_positions(cache, 1, 1, 2), expected[static_cast<std::size_t>(step)]);
    EXPECT_LE(cache.cursor()->entries, cache.capacity());
    cache.enqueue_finish_step();
    cache.count_step();
    const int kept = GetParam().budget == 0 ? step + 1 : std::min(step + 1, GetParam().budget);
    EXPECT_EQ(cache.mean_entries(), kept);
  }
}

TEST_P(StaticPolicies, ACutPromptGoesOnAsIfFedTokenByToken) {
  const auto backend = cpu();
  const int steps = 30;
  for (const int prompt : {1, 5, 6, 7, 19}) {
    KvCache cache(*backend, parse_policy(GetParam().spec), small_shape(prompt + steps));
    CacheShape whole_shape = small_shape(prompt);
    KvCache whole(*backend, parse_policy("baseline"), whole_shape);
    for (int position = 0; position < prompt; ++position) {
      write_newest(whole);
      whole.enqueue_finish_step();
    }
    cache.begin_prompt(prompt);
    for (int layer = 0; layer < whole_shape.layers; ++layer) {
      cache.keep_of_prompt(layer, whole.layer(layer));
    }
    cache.finish_prompt(prompt);
    EXPECT_EQ(cache.tokens_fed(), prompt);
    const auto expected = visible_by_definition(GetParam().budget, GetParam().sinks, prompt, steps);
    for (const std::vector<int>& step : expected) {
      write_newest(cache);
      EXPECT_EQ(visible_positions(cache, 1, 1, 2), step) << "prompt " << prompt;
      cache.enqueue_finish_step();
    }
  }
}

TEST_P(StaticPolicies, HoldsTheBytesItPredicts) {
  const auto backend = cpu();
  const Policy policy = parse_policy(GetParam().spec);
  const int budget = GetParam().budget;
  for (const int tokens : {1, budget - 1, budget, budget + 1, budget + 2, 100}) {
    if (tokens < 1) {
      continue;
    }
    const std::size_t before = backend->pool().stats().requested;
    const KvCache cache(*backend, policy, small_shape(tokens));
    const int slots = budget == 0 ? tokens : std::min(budget + 1, tokens);
    const std::size_t expected =
        std::size_t{2} * 2 * 3 * kHeadDim * 2 * sizeof(float) * static_cast<std::size_t>(slots);
    EXPECT_EQ(KvCache::kv_bytes(policy, small_shape(tokens)), expected);
    EXPECT_EQ(backend->pool().stats().of(MemoryClass::kKv), expected);
    EXPECT_EQ(backend->pool().stats().requested - before,
              expected + KvCache::bookkeeping_bytes(policy, small_shape(tokens)));
  }
  EXPECT_EQ(backend->pool().stats().of(MemoryClass::kKv), 0U);
}

TEST_P(StaticPolicies, BeginEmptiesTheCache) {
  const auto backend = cpu();
  KvCache cache(*backend, parse_policy(GetParam().spec), small_shape(20));
  for (int step = 0; step < 20; ++step) {
    cache.enqueue_finish_step();
    cache.count_step();
  }
  cache.begin();
  EXPECT_EQ(cache.mean_entries(), 0.0);
  EXPECT_EQ(cache.cursor()->position, 0);
  EXPECT_EQ(cache.cursor()->entries, 1);
  EXPECT_EQ(cache.cursor()->slot, 0);
}

INSTANTIATE_TEST_SUITE_P(Specs,
                         StaticPolicies,
                         testing::Values(Case{"baseline", 0, 0},
                                         Case{"window:budget=1", 1, 0},
                                         Case{"window:budget=6", 6, 0},
                                         Case{"streaming:budget=6,sinks=2", 6, 2},
                                         Case{"streaming:budget=6,sinks=6", 6, 6},
                                         Case{"streaming:budget=6,positions=original", 6, 4}));

TEST(KvCache, TakesAWholePromptOnlyWithinTheBudget) {
  const auto backend = cpu();
  const KvCache window(*backend, parse_policy("window:budget=6"), small_shape(20));
  EXPECT_TRUE(window.takes_whole(6));
  EXPECT_FALSE(window.takes_whole(7));
  const KvCache full(*backend, parse_policy("baseline"), small_shape(20));
  EXPECT_TRUE(full.takes_whole(20));
}

TEST(KvCache, CachePositionsLookAtTheSinksFromTheBudget) {
  const auto backend = cpu();
  KvCache cache(*backend, parse_policy("streaming:budget=6,sinks=2"), small_shape(20));
  for (int position = 0; position < 20; ++position) {
    EXPECT_EQ(cache.cursor()->sink_position, std::min(position, 6));
    cache.enqueue_finish_step();
  }
}

}  // namespace
}  // namespace kvg::kvcompress
