#include <vector>

#include "tests/kernels/stored_case.h"

namespace kvg::kernels {
namespace {

// How a step looks at stored entries.
class StoredAttendContract : public BackendContract {};

StoredShape ragged(const HeadShape& shape) {
  StoredShape params = {.shape = shape, .batch = 2, .entries = {}};
  for (int head = 0; head < params.heads(); ++head) {
    params.entries.push_back(1 + head * 211 % 400);
  }
  return params;
}

TEST_P(StoredAttendContract, ScoresOfEveryForm) {
  for (const FormCase& forms : form_cases(64)) {
    StoredCache cache(backend(), forms, ragged({.heads = 4, .kv_heads = 2, .head_dim = 64}));
    cache.store_prompt(false);
    cache.expect_attention({.scores = true}, bound(), "scores");
  }
}

TEST_P(StoredAttendContract, SinksHaveQueriesOfTheirOwn) {
  for (const FormCase& forms : form_cases(64)) {
    StoredCache cache(backend(), forms, ragged({.heads = 4, .kv_heads = 2, .head_dim = 64}));
    cache.store_prompt(false);
    for (const int sinks : {1, 4, 300}) {
      cache.expect_attention({.sinks = sinks, .scores = true}, bound(), std::to_string(sinks));
    }
  }
}

TEST_P(StoredAttendContract, PagesOfEveryForm) {
  for (const FormCase& forms : form_cases(64)) {
    StoredCache cache(backend(), forms, ragged({.heads = 4, .kv_heads = 2, .head_dim = 64}));
    cache.store_prompt(false);
    for (const int pages : {1, 7, 40}) {
      cache.expect_attention({.pages = pages}, bound(), std::to_string(pages) + " pages");
    }
  }
}

TEST_P(StoredAttendContract, GroupsAndDims) {
  const Form int4 = {.code = Code::kAsymmetric, .bits = 4, .group = 32};
  for (const int head_dim : {64, 96, 128, 256}) {
    for (const int group : {1, 2, 4, 7}) {
      for (const FormCase& forms : {alike("int4", int4), alike("native", native_form(compute()))}) {
        StoredCache cache(
            backend(), forms, ragged({.heads = 3 * group, .kv_heads = 3, .head_dim = head_dim}));
        cache.store_prompt(false);
        cache.expect_attention(
            {.scores = true},
            bound(),
            "group " + std::to_string(group) + ", head_dim " + std::to_string(head_dim));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         StoredAttendContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
