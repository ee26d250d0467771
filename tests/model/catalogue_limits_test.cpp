// The ends of the contract: a budget as long as the run, and keys that are all equal.

#include <algorithm>
#include <cmath>

#include "tests/model/catalogue_contract.h"

namespace kvg::model {
namespace {

using kvcompress::Feed;
using testing_support::CatalogueContract;
using testing_support::Chosen;
using testing_support::CodecText;
using testing_support::random_ids;
using testing_support::shape_of;
using testing_support::TinyModel;
using testing_support::Trace;
using testing_support::trace_of;

class CatalogueLimits : public CatalogueContract {};

TEST_P(CatalogueLimits, AFullBudgetIsBitIdenticalToBaseline) {
  for (const Feed feed : {Feed::kSteps, Feed::kPrompt}) {
    const RunShape shape = shape_of(feed);
    const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 1);
    const Trace baseline = trace_of(*model_.runner("baseline", shape), ids, shape.prompt);
    for (const int budget : {shape.tokens, shape.tokens + 1}) {
      for (const Chosen& selection : chosen(feed, budget)) {
        for (const char* codec : {"", "+f32"}) {
          SCOPED_TRACE(selection.spec + codec);
          const Trace trace =
              trace_of(*model_.runner(selection.spec + codec, shape), ids, shape.prompt);
          EXPECT_EQ(trace.entries, baseline.entries);
          ASSERT_EQ(trace.logits, baseline.logits);
        }
      }
    }
  }
}

TEST_P(CatalogueLimits, EqualKeysBreakNothing) {
  model_.make_keys_equal(true);
  for_each_pair([&](const Chosen& selection, const CodecText& codec, Feed feed) {
    const RunShape shape = shape_of(feed);
    const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 2);
    const Trace trace =
        trace_of(*model_.runner(selection.spec + codec.text, shape), ids, shape.prompt);
    for (std::size_t i = 0; i < trace.logits.size(); ++i) {
      ASSERT_TRUE(std::ranges::all_of(trace.logits[i], [](float x) { return std::isfinite(x); }))
          << i;
    }
    EXPECT_DOUBLE_EQ(trace.entries.back(),
                     entries_by_definition(selection, shape.prompt, shape.tokens - shape.prompt));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue,
    CatalogueLimits,
    testing::Combine(testing::Values("llama", "neox"),
                     testing::Range(std::size_t{0}, kvcompress::selections().size())),
    [](const auto& param_info) {
      return std::string(std::get<0>(param_info.param)) + "_" +
             std::string(kvcompress::selections()[std::get<1>(param_info.param)].name);
    });

// With keys of 0 every score of a head is equal, or falls with the number of queries that saw it:
// what stays is then a window, or sinks and a window, written out by hand.
struct Equivalent {
  const char* spec = nullptr;
  const char* same_as = nullptr;
  bool steps = true;
  bool prompt = true;
};

constexpr Equivalent kEquivalents[] = {
    // Of equals the older leaves.
    {"tova:budget=8,decode=evict", "window:budget=8,decode=evict,positions=original"},
    {"rkv:budget=8,window=4", "window:budget=8,decode=evict,positions=original"},
    {"tova:budget=8", "window:budget=8", false},
    {"knorm:budget=8", "window:budget=8", false},
    {"keydiff:budget=8", "window:budget=8", false},
    {"adakv:budget=8,window=4,kernel=1", "window:budget=8", false},
    {"snapkv:budget=8,window=4,kernel=1", "window:budget=8", false},
    {"snapkv:budget=8,window=4,kernel=1,decode=evict",
     "window:budget=8,decode=evict,positions=original",
     false},
    // Uniform attention: the older an entry, the more it was attended to; half stays as the newest.
    {"h2o:budget=8", "streaming:budget=8,sinks=4,decode=evict,positions=original"},
    {"h2o:budget=8,recent=2", "streaming:budget=8,sinks=6,decode=evict,positions=original"},
    // Sinks are protected whatever they score; so is the window's place in the ring.
    {"streaming:budget=8,sinks=0,decode=evict,positions=original",
     "window:budget=8,decode=evict,positions=original"}};

TEST(CatalogueTies, ProtectedEntriesSurviveAndOlderOnesLeave) {
  TinyModel model("llama");
  model.make_keys_equal(false);
  for (const Equivalent& pair : kEquivalents) {
    for (const Feed feed : {Feed::kSteps, Feed::kPrompt}) {
      if (!(feed == Feed::kSteps ? pair.steps : pair.prompt)) {
        continue;
      }
      SCOPED_TRACE(pair.spec);
      const RunShape shape = shape_of(feed);
      const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 3);
      const Trace actual = trace_of(*model.runner(pair.spec, shape), ids, shape.prompt);
      const Trace expected = trace_of(*model.runner(pair.same_as, shape), ids, shape.prompt);
      for (std::size_t i = 0; i < expected.logits.size(); ++i) {
        ASSERT_EQ(actual.logits[i], expected.logits[i]) << i;
      }
    }
  }
}

// The cursors of a layer's heads as they are on the device.
std::vector<kernels::HeadCursor> cursors_of(TinyModel& model, const Runner& runner, int layer) {
  std::vector<kernels::HeadCursor> heads(static_cast<std::size_t>(model.config().heads.kv_heads));
  model.backend().download(
      heads.data(), runner.cache().stored(layer).heads, heads.size() * sizeof(kernels::HeadCursor));
  return heads;
}

TEST(CatalogueWaiting, EntriesArePackedWhenTheyAreDue) {
  TinyModel model("llama");
  struct Case {
    const char* spec;
    bool values_wait;
  };
  for (const Case& codec : {Case{"kivi2:group=16,residual=16", true},
                            Case{"baseline+k=kivi2,k.group=16,k.residual=16,v=int2", false}}) {
    for (const Feed feed : {Feed::kSteps, Feed::kPrompt}) {
      const RunShape shape = shape_of(feed);
      const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 4);
      const auto runner = model.runner(codec.spec, shape);
      for (std::int32_t n = std::max(shape.prompt, 1); n <= shape.tokens; ++n) {
        SCOPED_TRACE(std::string(codec.spec) + ", entries " + std::to_string(n));
        (void)trace_of(*runner, std::span(ids).first(static_cast<std::size_t>(n)), shape.prompt);
        for (const kernels::HeadCursor& head : cursors_of(model, *runner, 1)) {
          // Keys in groups of 16, values once 16 newer ones are there.
          ASSERT_EQ(head.packed_keys, n / 16 * 16);
          ASSERT_EQ(head.packed_values,
                    codec.values_wait ? std::max(n - 16, 0) : kernels::kUnlimited);
        }
      }
    }
  }
}

// Rounded up to whole words nothing is left to prune.
TEST(CatalogueWaiting, PruningNoChannelIsBaseline) {
  TinyModel model("llama");
  const RunShape shape = shape_of(Feed::kPrompt);
  const auto ids = random_ids(static_cast<std::size_t>(shape.tokens), 5);
  const Trace baseline = trace_of(*model.runner("baseline", shape), ids, shape.prompt);
  const Trace whole =
      trace_of(*model.runner("think:pruned=0.01,recent=4,window=3", shape), ids, shape.prompt);
  for (std::size_t i = 0; i < baseline.logits.size(); ++i) {
    // Waiting entries are read by other code: the same sums in another order.
    ASSERT_LT(testing_support::relative_error(whole.logits[i], baseline.logits[i]), 2e-5) << i;
  }
}

}  // namespace
}  // namespace kvg::model
