#include "kvcompress/cache.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg::kvcompress {
namespace {

constexpr int kHeadDim = 4;

// A cpu with scratch memory for all that is done here.
class Cpu {
 public:
  kernels::Backend& operator*() const { return *backend_; }
  kernels::Backend* operator->() const { return backend_.get(); }

 private:
  std::unique_ptr<kernels::Backend> backend_ =
      kernels::make_backend(kernels::find_device("cpu"), {.threads = 1});
  std::unique_ptr<kernels::Workspace> workspace_ =
      backend_->make_workspace({.heads = {6, 3, kHeadDim}, .entries = 128, .scored_keys = 128});
};

CacheShape small_shape(std::int32_t tokens, std::int32_t prompt = 0) {
  return {.layers = 2,
          .batch = 2,
          .heads = 6,
          .kv_heads = 3,
          .head_dim = kHeadDim,
          .tokens = tokens,
          .prompt = prompt};
}

// What the definition says attention sees at every step: everything so far, less one entry a step
// once there are more than the budget, the oldest that is no sink.
struct Definition {
  int budget = 0;  ///< 0: nothing leaves
  int sinks = 0;
  bool appends = false;  ///< after the prompt's cut

  [[nodiscard]] std::vector<std::vector<int>> visible(int prompt, int steps) const {
    std::vector<std::vector<int>> visible;
    std::vector<int> kept;
    for (int position = 0; position < prompt + steps; ++position) {
      kept.push_back(position);
      if (position >= prompt) {
        visible.push_back(kept);
      }
      const bool full = budget != 0 && static_cast<int>(kept.size()) > budget;
      if (full && (position < prompt || !appends)) {
        kept.erase(kept.begin() + std::min(sinks, budget));
      }
    }
    return visible;
  }
};

// Writes the position of the newest token as its key and value, in every layer, row and head.
void write_newest(const KvCache& cache) {
  const auto position = static_cast<float>(cache.cursor()->position);
  for (int layer = 0; layer < cache.shape().layers; ++layer) {
    const kernels::StoredView view = cache.stored(layer);
    for (int row = 0; row < cache.shape().batch; ++row) {
      for (int head = 0; head < cache.shape().kv_heads; ++head) {
        const kernels::HeadCursor& cursor = view.heads[row * cache.shape().kv_heads + head];
        const std::int64_t slot = row * view.slots + cursor.start + cursor.slot;
        for (void* side : {view.keys.codes, view.values.codes}) {
          std::fill_n(static_cast<float*>(side) + slot * kHeadDim, kHeadDim, position);
        }
      }
    }
  }
}

std::vector<int> visible_positions(const KvCache& cache, int layer, int row, int head) {
  const kernels::StoredView view = cache.stored(layer);
  const kernels::HeadCursor& cursor = view.heads[row * cache.shape().kv_heads + head];
  EXPECT_LE(cursor.entries, view.capacity);
  std::vector<int> positions;
  for (int entry = 0; entry < cursor.entries; ++entry) {
    const std::int64_t slot = row * view.slots + cursor.start + entry;
    const float key = static_cast<const float*>(view.keys.codes)[slot * kHeadDim];
    EXPECT_EQ(key, static_cast<const float*>(view.values.codes)[slot * kHeadDim + kHeadDim - 1]);
    positions.push_back(static_cast<int>(key));
  }
  std::ranges::sort(positions);
  return positions;
}

// A prompt whose entries are their positions.
struct Prompt {
  Prompt(kernels::Backend& backend, const CacheShape& shape, int tokens)
      : buffer(backend.pool().allocate(
            sizeof(float) * static_cast<std::size_t>(shape.batch * shape.kv_heads * tokens) *
                kHeadDim,
            MemoryClass::kActivations)),
        view{.keys = buffer.data(),
             .values = buffer.data(),
             .dtype = DType::kF32,
             .batch_stride = std::int64_t{shape.kv_heads} * tokens * kHeadDim,
             .head_stride = std::int64_t{tokens} * kHeadDim} {
    for (int i = 0; i < shape.batch * shape.kv_heads * tokens * kHeadDim; ++i) {
      buffer.as<float>()[i] = static_cast<float>(i / kHeadDim % tokens);
    }
  }

  Buffer buffer;
  kernels::KvView view;
};

struct Case {
  const char* spec;
  Definition definition;
};

class StaticPolicies : public testing::TestWithParam<Case> {
 protected:
  static Policy policy(Feed feed) { return parse_policy(GetParam().spec, feed); }
};

TEST_P(StaticPolicies, AttentionSeesWhatTheDefinitionSays) {
  const Cpu backend;
  const int steps = 40;
  const int budget = GetParam().definition.budget;
  KvCache cache(*backend, policy(Feed::kSteps), small_shape(steps));
  const auto expected = GetParam().definition.visible(0, steps);
  for (int step = 0; step < steps; ++step) {
    write_newest(cache);
    EXPECT_EQ(visible_positions(cache, 0, 0, 0), expected[static_cast<std::size_t>(step)]);
    EXPECT_EQ(visible_positions(cache, 1, 1, 2), expected[static_cast<std::size_t>(step)]);
    cache.enqueue_finish_step();
    cache.count_step();
    const int kept = budget == 0 ? step + 1 : std::min(step + 1, budget);
    EXPECT_EQ(cache.mean_entries(), kept);
    EXPECT_EQ(cache.kept_entries().max, kept);
  }
}

TEST_P(StaticPolicies, ACutPromptGoesOnAsDecodeSays) {
  const Cpu backend;
  const int steps = 30;
  for (const char* decode : {"append", "evict"}) {
    Definition definition = GetParam().definition;
    std::string spec = GetParam().spec;
    if (definition.budget > 0) {
      spec += std::string(",decode=") + decode;
      definition.appends = std::string_view(decode) == "append";
    }
    for (const int length : {1, 5, 6, 7, 19}) {
      const CacheShape shape = small_shape(length + steps, length);
      KvCache cache(*backend, parse_policy(spec, Feed::kPrompt), shape);
      const Prompt prompt(*backend, shape, length);
      cache.begin_prompt(length);
      for (int layer = 0; layer < shape.layers; ++layer) {
        cache.keep_of_prompt(layer, prompt.view, {});
      }
      cache.finish_prompt();
      EXPECT_EQ(cache.tokens_fed(), length);
      const int kept = definition.budget == 0 ? length : std::min(length, definition.budget);
      EXPECT_EQ(cache.kept_entries().min, kept);
      for (const std::vector<int>& step : definition.visible(length, steps)) {
        write_newest(cache);
        EXPECT_EQ(visible_positions(cache, 1, 1, 2), step) << spec << " prompt " << length;
        cache.enqueue_finish_step();
      }
    }
  }
}

TEST_P(StaticPolicies, HoldsTheBytesItPredicts) {
  const Cpu backend;
  const int budget = GetParam().definition.budget;
  for (const int tokens : {1, budget - 1, budget, budget + 1, budget + 2, 100}) {
    if (tokens < 1) {
      continue;
    }
    const std::size_t before = backend->pool().stats().requested;
    const KvCache cache(*backend, policy(Feed::kSteps), small_shape(tokens));
    const int slots = budget == 0 ? tokens : std::min(budget + 1, tokens);
    const std::size_t expected =
        std::size_t{2} * 2 * 3 * kHeadDim * 2 * sizeof(float) * static_cast<std::size_t>(slots);
    EXPECT_EQ(KvCache::kv_bytes(policy(Feed::kSteps), small_shape(tokens)), expected);
    EXPECT_EQ(backend->pool().stats().of(MemoryClass::kKv), expected);
    EXPECT_EQ(backend->pool().stats().requested - before,
              expected + KvCache::observation_bytes(policy(Feed::kSteps), small_shape(tokens)));
  }
  EXPECT_EQ(backend->pool().stats().of(MemoryClass::kKv), 0U);
}

TEST_P(StaticPolicies, BeginEmptiesTheCache) {
  const Cpu backend;
  KvCache cache(*backend, policy(Feed::kSteps), small_shape(20));
  for (int step = 0; step < 20; ++step) {
    cache.enqueue_finish_step();
    cache.count_step();
  }
  cache.begin();
  EXPECT_EQ(cache.mean_entries(), 0.0);
  EXPECT_EQ(cache.tokens_fed(), 0);
  EXPECT_EQ(cache.cursor()->position, 0);
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 6; ++head) {
      EXPECT_EQ(cache.stored(layer).heads[head].entries, 1);
      EXPECT_EQ(cache.stored(layer).heads[head].slot, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Specs,
    StaticPolicies,
    testing::Values(Case{"baseline", {}},
                    Case{"window:budget=1", {.budget = 1}},
                    Case{"window:budget=6", {.budget = 6}},
                    Case{"streaming:budget=6,sinks=2", {.budget = 6, .sinks = 2}},
                    Case{"streaming:budget=6,sinks=6", {.budget = 6, .sinks = 6}},
                    Case{"streaming:budget=6,positions=original", {.budget = 6, .sinks = 4}}));

TEST(KvCache, TakesAWholePromptOnlyWithinTheBudget) {
  const Cpu backend;
  const auto cache_of = [&](const char* spec) {
    return std::make_unique<KvCache>(
        *backend, parse_policy(spec, Feed::kPrompt), small_shape(20, 20));
  };
  EXPECT_TRUE(cache_of("window:budget=6")->takes_whole(6));
  EXPECT_FALSE(cache_of("window:budget=6")->takes_whole(7));
  EXPECT_TRUE(cache_of("baseline")->takes_whole(20));
  EXPECT_TRUE(cache_of("f32")->takes_whole(20)) << "the compute type's own form";
  EXPECT_FALSE(cache_of("f16")->takes_whole(20));
  EXPECT_FALSE(cache_of("h2o:budget=6")->takes_whole(6)) << "steps go on from its scores";
  EXPECT_TRUE(KvCache::needs_prompt_room(parse_policy("f16", Feed::kPrompt), small_shape(20, 20)));
  EXPECT_FALSE(
      KvCache::needs_prompt_room(parse_policy("baseline", Feed::kPrompt), small_shape(20, 20)));
}

TEST(KvCache, APromptIsFedToAnEmptyCacheThatWasPlannedForIt) {
  const Cpu backend;
  KvCache cache(*backend, parse_policy("baseline", Feed::kPrompt), small_shape(20, 10));
  testing_support::expect_invalid([&] { cache.begin_prompt(11); },
                                  "the cache was planned for the prompt");
  cache.count_step();
  testing_support::expect_invalid([&] { cache.begin_prompt(10); },
                                  "a prompt is fed to an empty cache");
}

TEST(KvCache, CachePositionsLookAtTheSinksFromTheBudget) {
  const Cpu backend;
  KvCache cache(*backend, parse_policy("streaming:budget=6,sinks=2"), small_shape(20));
  EXPECT_EQ(cache.turned_sinks(), 2);
  for (int position = 0; position < 20; ++position) {
    EXPECT_EQ(cache.cursor()->sink_position, std::min(position, 6));
    cache.enqueue_finish_step();
  }
  const KvCache original(
      *backend, parse_policy("streaming:budget=6,positions=original"), small_shape(20));
  EXPECT_EQ(original.turned_sinks(), 0);
}

// Bits of codes, and of scales and zeros over their group.
TEST(KvCache, CountsBitsOfAnElementWithItsScales) {
  const Cpu backend;
  CacheShape shape = small_shape(16);
  shape.head_dim = 64;
  const auto bits = [&](const char* spec) {
    return KvCache(*backend, parse_policy(spec), shape).bits_per_element();
  };
  EXPECT_EQ(bits("baseline"), 32.0);
  EXPECT_EQ(bits("f16"), 16.0);
  EXPECT_EQ(bits("fp8"), 8.0);
  EXPECT_EQ(bits("int8"), 8.0 + 16.0 / 64);
  EXPECT_EQ(bits("int4"), 4.0 + 32.0 / 32);
  EXPECT_EQ(bits("q4_0"), 4.0 + 16.0 / 32);
  EXPECT_EQ(bits("nvfp4"), 4.0 + 8.0 / 16);
  EXPECT_EQ(bits("mxfp4"), 4.0 + 8.0 / 32);
  EXPECT_EQ(bits("turbo3"), 3.0 + 16.0 / 64);
  EXPECT_EQ(bits("baseline+k=int8,v=int4"), (8.25 + 5.0) / 2);
}

TEST(KvCache, CountsTheBytesThatAStepReads) {
  const Cpu backend;
  CacheShape shape = small_shape(64);
  shape.head_dim = 64;
  const auto bytes = [&](const char* spec) {
    KvCache cache(*backend, parse_policy(spec), shape);
    for (int step = 0; step < 40; ++step) {
      cache.count_step();
    }
    return cache.step_read_bytes();
  };
  // 2 layers, 2 rows, 3 kv_heads; keys and values of 64 channels.
  constexpr double kEntry = 2.0 * 64 * 4;
  EXPECT_EQ(bytes("baseline"), 2 * 2 * 3 * 40 * kEntry);
  EXPECT_EQ(bytes("int4"), 2 * 2 * 3 * 40 * kEntry * 5 / 32);
  EXPECT_EQ(bytes("window:budget=16"), 2 * 2 * 3 * 16 * kEntry);
  // The first layer reads all, the second two keys of bounds for each of 5 full pages, the best of
  // them, and the page that the next entry begins.
  EXPECT_EQ(bytes("quest:budget=16,page=8,dense=1"), 2 * 3 * (40 + 8 + 5) * kEntry);
  // 40 = 5 x 7 + 5: the newest page holds 5.
  EXPECT_EQ(bytes("quest:budget=16,page=7,dense=0"), 2 * 2 * 3 * (7 + 5 + 5) * kEntry);
  EXPECT_EQ(bytes("quest:budget=64,page=8,dense=0"), 2 * 2 * 3 * (40 + 5) * kEntry);
}

TEST(KvCache, CountsWhatWaitsAsItIsRead) {
  const Cpu backend;
  CacheShape shape = small_shape(64, 40);
  shape.head_dim = 64;
  const auto bytes = [&](const char* spec, int steps) {
    KvCache cache(*backend, parse_policy(spec, Feed::kPrompt), shape);
    cache.begin_prompt(40);
    for (int step = 0; step < steps; ++step) {
      cache.count_step();
    }
    return cache.step_read_bytes() / (2 * 2 * 3);
  };
  constexpr double kNative = 64.0 * 4;
  constexpr double kPacked = 64.0 * 2 / 8 + 64.0 / 16 * 4;
  // Of 45 entries two rounds of 16 keys are packed, and the values but for the newest 16.
  EXPECT_EQ(bytes("kivi2:group=16,residual=16", 5), (32 + 29) * kPacked + (13 + 16) * kNative);
  EXPECT_EQ(bytes("kivi2:group=16,residual=16", 8), (48 + 32) * kPacked + 16 * kNative);
  // 40 of 64 channels of the prompt's keys but for its last 8.
  EXPECT_EQ(bytes("think:recent=8", 5), 32 * kNative * 40 / 64 + (13 + 45) * kNative);
}

}  // namespace
}  // namespace kvg::kvcompress
