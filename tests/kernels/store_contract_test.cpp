#include <algorithm>
#include <vector>

#include "tests/kernels/stored_case.h"

namespace kvg::kernels {
namespace {

// What append(), store() and settle() write, and where.
class StoreContract : public BackendContract {};

StoredShape ragged(int head_dim) {
  return {.shape = {.heads = 4, .kv_heads = 2, .head_dim = head_dim},
          .batch = 2,
          .entries = {37, 300, 1, 129}};
}

TEST_P(StoreContract, APromptIsReadBackInEveryForm) {
  for (const int head_dim : {64, 128}) {
    for (const FormCase& forms : form_cases(head_dim)) {
      StoredCache cache(backend(), forms, ragged(head_dim));
      cache.store_prompt(false);
      cache.expect_untouched("prompt");
      cache.expect_attention({}, bound(), "prompt");
    }
  }
}

TEST_P(StoreContract, ChosenEntriesMoveTogether) {
  for (const FormCase& forms : form_cases(64)) {
    StoredCache cache(backend(), forms, ragged(64));
    cache.store_prompt(true);
    cache.expect_untouched("chosen");
    cache.expect_attention({}, bound(), "chosen");
  }
}

TEST_P(StoreContract, StepsFollowAPrompt) {
  for (const FormCase& forms : form_cases(64)) {
    StoredCache cache(backend(), forms, ragged(64));
    cache.store_prompt(false);
    for (std::uint32_t step = 0; step < 3; ++step) {
      for (int head = 0; head < 4; ++head) {
        cache.head(head) = next_of(cache.head(head));
      }
      cache.append(200 + 2 * step);
      cache.expect_attention({}, bound(), "step " + std::to_string(step));
      cache.settle();
    }
    cache.expect_untouched("steps");
  }
}

TEST_P(StoreContract, ANewEntryTakesTheSlotOfOneThatLeft) {
  for (const FormCase& forms : form_cases(64)) {
    if (forms.waits()) {
      continue;
    }
    StoredCache cache(backend(), forms, ragged(64));
    cache.store_prompt(false);
    for (int head = 0; head < 4; ++head) {
      cache.head(head).slot = cache.head(head).entries / 3;
    }
    cache.append(300);
    cache.expect_untouched("ring");
    cache.expect_attention({}, bound(), "ring");
  }
}

// Token by token from nothing, as the oracles do it: after a step's attention the keys are packed
// once 128 wait, and of more than 128 waiting values the oldest is.
TEST_P(StoreContract, EntriesWaitAsTheOraclesHaveThem) {
  for (const FormCase& forms : form_cases(64)) {
    if (!forms.keys.per_channel) {
      continue;
    }
    StoredCache cache(backend(),
                      forms,
                      {.shape = {.heads = 2, .kv_heads = 1, .head_dim = 64},
                       .batch = 2,
                       .entries = {1, 1},
                       .room = 300});
    for (std::int32_t t = 0; t < 300; ++t) {
      cache.append(1000 + 2 * static_cast<std::uint32_t>(t));
      for (int head = 0; head < 2; ++head) {
        EXPECT_EQ(cache.head(head).packed_keys, t / 128 * 128) << t;
        EXPECT_EQ(cache.head(head).packed_values, std::max(0, t - 128)) << t;
      }
      const bool near_change = (t + 2) % 128 < 4;
      if (near_change || t % 23 == 0) {
        cache.expect_attention({}, bound(), "token " + std::to_string(t));
      }
      cache.settle();
      for (int head = 0; head < 2; ++head) {
        cache.head(head) = next_of(cache.head(head));
      }
    }
  }
}

TEST_P(StoreContract, PrunedKeysThatWaitStayWhole) {
  for (const FormCase& forms : form_cases(64)) {
    if (forms.pruned == 0) {
      continue;
    }
    StoredCache cache(backend(), forms, ragged(64));
    cache.store_prompt(false);
    cache.settle();
    EXPECT_EQ(cache.head(1).packed_keys, 300 - 32) << "nothing is due before all slots are taken";
    cache.expect_attention({.scores = true}, bound(), "pruned");
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         StoreContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
