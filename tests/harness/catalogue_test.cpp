// What a row says of the cache, over the catalogue of selections and codecs.

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "harness/session.h"
#include "kvcompress/codec.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;

class Catalogue : public testing::Test {
 protected:
  static Experiment stream(std::vector<std::string> policies) {
    Experiment experiment;
    experiment.device = KVG_TEST_DEVICE;
    experiment.max_tokens = 40;
    experiment.num_samples = 1;
    experiment.warmup = 0;
    experiment.policies = std::move(policies);
    return experiment;
  }

  static Experiment split(std::vector<std::string> policies) {
    Experiment experiment = stream(std::move(policies));
    experiment.protocol = "split";
    return experiment;
  }

  std::vector<Record> run(const Experiment& experiment) {
    Session session(experiment, ears_);
    Keep kept;
    session.run({"kvgauge", "run"}, kept);
    for (const Record& record : kept.records_) {
      EXPECT_EQ(record.error, "") << record.policy;
    }
    return kept.records_;
  }

  /// The methods of the rows that would be run.
  std::vector<std::string> methods_of(const Experiment& experiment) {
    const Session session(experiment, ears_);
    return session.table_of(session.rows().front()).methods;
  }

  Ears ears_;
};

void expect_kept(const Record& record, double mean, std::int64_t min, std::int64_t max) {
  ASSERT_TRUE(record.kept_entries) << record.policy;
  EXPECT_DOUBLE_EQ(record.kept_entries->mean, mean) << record.policy;
  EXPECT_EQ(record.kept_entries->min, min) << record.policy;
  EXPECT_EQ(record.kept_entries->max, max) << record.policy;
}

// 39 tokens are fed; what is kept is told at the end.
TEST_F(Catalogue, StreamTellsWhatIsKeptAtTheEnd) {
  const auto records = run(stream({"baseline", "streaming_16", "h2o_8", "quest_16"}));
  EXPECT_EQ(records[0].budget_requested, "");
  expect_kept(records[0], 39.0, 39, 39);
  EXPECT_DOUBLE_EQ(*records[0].kept_fraction, 1.0);
  EXPECT_EQ(records[1].budget_requested, "16");
  expect_kept(records[1], 16.0, 16, 16);
  EXPECT_DOUBLE_EQ(*records[1].kept_fraction, 16.0 / 39.0);
  expect_kept(records[2], 8.0, 8, 8);
  EXPECT_EQ(records[3].budget_requested, "16");
  expect_kept(records[3], 39.0, 39, 39);
}

// A prompt of 20 tokens, then 19 more are fed.
TEST_F(Catalogue, SplitTellsWhatTheCutKept) {
  const auto records = run(split({"snapkv:keep=0.25,window=2",
                                  "knorm_8",
                                  "h2o:keep=0.5",
                                  "streaming:budget=8,decode=evict",
                                  "adakv:budget=10,window=2",
                                  "random:budget=4,decode=evict,protect=prompt"}));
  EXPECT_EQ(records[0].budget_requested, "keep=0.25");
  expect_kept(records[0], 5.0, 5, 5);
  EXPECT_DOUBLE_EQ(*records[0].kept_fraction, 0.25);
  EXPECT_EQ(*records[0].final_cache_size, 5.0 + 19.0) << "appended without end";
  expect_kept(records[1], 8.0, 8, 8);
  EXPECT_EQ(*records[1].final_cache_size, 8.0 + 19.0);
  expect_kept(records[2], 10.0, 10, 10);
  EXPECT_EQ(*records[2].final_cache_size, 10.0) << "h2o's budget binds in steps too";
  EXPECT_EQ(*records[3].final_cache_size, 8.0);
  EXPECT_DOUBLE_EQ(records[4].kept_entries->mean, 10.0);
  EXPECT_LT(records[4].kept_entries->min, records[4].kept_entries->max) << "a ragged cache";
  expect_kept(records[5], 20.0, 20, 20);
  EXPECT_EQ(*records[5].final_cache_size, 20.0 + 4.0);
}

TEST_F(Catalogue, GivesEachProtocolItsDefaults) {
  EXPECT_EQ(run(split({"streaming_8"}))[0].policy,
            "streaming:budget=8,sinks=4,decode=append,positions=original");
  EXPECT_EQ(run(stream({"streaming_8"}))[0].policy,
            "streaming:budget=8,sinks=4,decode=evict,positions=cache");
}

// tiny-llama: 8 layers, 2 kv_heads of 64 channels; 39 slots a kv_head.
TEST_F(Catalogue, TellsTheBitsThatAreHeld) {
  constexpr std::int64_t kElements = std::int64_t{8} * 2 * 39 * 2 * 64;
  const auto records = run(
      stream({"f16", "fp8", "int4", "int2:group=16", "int8:group=64", "baseline+k=int8,v=int4"}));
  // Codes, and scale and zero of 16 bits each over a group (symmetric: the scale alone).
  const std::vector<double> expected{16.0, 8.0, 4.0 + 1.0, 2.0 + 2.0};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_DOUBLE_EQ(*records[i].bits_per_element, expected[i]) << records[i].policy;
    EXPECT_EQ(records[i].memory->kv_bytes, static_cast<std::int64_t>(expected[i] * kElements / 8.0))
        << records[i].policy;
    EXPECT_EQ(*records[i].kv_bytes_read_per_step, records[i].memory->kv_bytes);
  }
  // 156 bytes of scales a side and layer are padded to 160.
  const double padded = 8.0 + 8.0 * 160.0 / (2.0 * 39.0 * 64.0);
  EXPECT_DOUBLE_EQ(*records[4].bits_per_element, padded);
  EXPECT_DOUBLE_EQ(*records[5].bits_per_element, (padded + 5.0) / 2.0);
}

TEST_F(Catalogue, KivisResidualCountsAsHeld) {
  const auto records = run(stream({"baseline", "kivi2:group=16,residual=16"}));
  // 39 slots are rounded up to 48 for keys in groups of 16; 16 keys and 17 values wait in the
  // compute dtype.
  const double native = *records[0].bits_per_element;
  EXPECT_DOUBLE_EQ(*records[1].bits_per_element,
                   2.0 + 32.0 / 16.0 + native * (16.0 + 17.0) / (2.0 * 48.0));
}

TEST_F(Catalogue, QuestStoresAllAndReadsLess) {
  const auto records = run(stream({"baseline", "quest:budget=16,page=8,dense=0"}));
  EXPECT_EQ(records[1].memory->kv_bytes, records[0].memory->kv_bytes);
  EXPECT_EQ(*records[0].kv_bytes_read_per_step, records[0].memory->kv_bytes);
  // For 8 layers, 2 kv_heads: of 39 entries a page of 8 and the 7 of the newest page, and the
  // smallest and largest key in f32 of the 4 pages before it.
  const double entry = *records[0].bits_per_element / 8.0 * 2.0 * 64.0;
  const double read = 16.0 * ((8.0 + 7.0) * entry + 4.0 * 2.0 * 64.0 * 4.0);
  EXPECT_EQ(*records[1].kv_bytes_read_per_step, std::llround(read));
}

TEST_F(Catalogue, LeavesOutOfASuiteWhatTheProtocolCannotCarry) {
  const auto taken = methods_of(stream({"all"}));
  std::size_t left_out = 0;
  for (const kvcompress::SelectionInfo& info : kvcompress::selections()) {
    const std::string method(info.example);
    const bool needs_file = info.name == "duo";
    const bool runs = info.with_steps && !needs_file;
    EXPECT_EQ(std::ranges::count(taken, method), runs ? 1 : 0) << method;
    const std::string named = "left out: policy " + std::string(info.name) +
                              (needs_file ? " needs matrix=" : " cuts after a prompt");
    const auto names_it = [&](const std::string& line) {
      return line.find(named) != std::string::npos;
    };
    EXPECT_EQ(std::ranges::count_if(ears_.warnings_, names_it), runs ? 0 : 1) << method;
    left_out += runs ? 0 : 1;
  }
  ASSERT_EQ(ears_.warnings_.size(), left_out + 1);
  EXPECT_NE(ears_.warnings_.back().find("baseline+think"), std::string::npos);
  for (const kvcompress::CodecInfo& info : kvcompress::codecs()) {
    EXPECT_EQ(std::ranges::count(taken, info.name), info.name == "think" ? 0 : 1) << info.name;
  }
}

TEST_F(Catalogue, LeavesOutDuoAloneWhereThereIsAPrompt) {
  const auto all = methods_of(split({"all"}));
  EXPECT_EQ(ears_.warnings_,
            (std::vector<std::string>{"left out: policy duo needs matrix=, file with a line a "
                                      "layer, a 0 or 1 a kv_head; 1: keeps everything"}));
  const auto eviction = methods_of(split({"suite:eviction"}));
  const auto codecs = methods_of(split({"suite:codecs"}));
  EXPECT_EQ(all.size(), eviction.size() + codecs.size() - 1) << "baseline leads both";
  EXPECT_EQ(codecs.size(), kvcompress::codecs().size() + 1);
  EXPECT_EQ(methods_of(split({"suite:quick"})).front(), "baseline");
}

TEST_F(Catalogue, RefusesByNameWhatASuiteLeavesOut) {
  expect_invalid([&] { Session session(stream({"snapkv_64"}), ears_); },
                 "policy snapkv cuts after a prompt, and here is none; allowed in the protocols "
                 "that have one: split, speed, task");
  expect_invalid([&] { Session session(stream({"think"}), ears_); },
                 "its channels are chosen from a prompt, and here is none");
  expect_invalid([&] { Session session(stream({"suite:nosuch"}), ears_); },
                 "no suite named \"nosuch\"; known: suite:eviction, suite:codecs, suite:quick");
}

// An untimed prompt and its steps leave nothing behind that the next sample could see.
TEST_F(Catalogue, RowsDoNotDependOnTheirWarmup) {
  Experiment experiment = split({"h2o_8",
                                 "tova:budget=8,decode=evict+int4",
                                 "rkv:budget=12,window=4",
                                 "random:budget=8,decode=evict",
                                 "snapkv:budget=10,window=4,decode=evict",
                                 "pyramidkv:budget=10,window=4",
                                 "adakv:budget=10,window=4+kivi2:group=16,residual=16",
                                 "lagkv:budget=12,lag=4",
                                 "expected_8",
                                 "observed:budget=8,decode=evict",
                                 "criticalkv:budget=10,window=4",
                                 "quest:budget=8,page=4,dense=0+int8",
                                 "streaming:budget=8,decode=evict+turbo3",
                                 "think:recent=2,window=4",
                                 "kivi4:group=16,residual=16"});
  const auto cold = run(experiment);
  experiment.warmup = 13;
  const auto warm = run(experiment);
  ASSERT_EQ(cold.size(), warm.size());
  for (std::size_t i = 0; i < cold.size(); ++i) {
    EXPECT_EQ(*cold[i].perplexity, *warm[i].perplexity) << cold[i].policy;
    EXPECT_EQ(*cold[i].final_cache_size, *warm[i].final_cache_size) << cold[i].policy;
    EXPECT_GT(*cold[i].perplexity, 1.0) << cold[i].policy;
  }
}

// Whatever a selection or a codec is given, rows of one batch do not disturb each other.
TEST_F(Catalogue, SpeedRunsBatchesOfPrompts) {
  Experiment experiment = stream({"h2o_8",
                                  "adakv:budget=8,window=4+kivi2:group=16,residual=16",
                                  "rkv:budget=12,window=4+int4",
                                  "quest:budget=8,page=4,dense=0",
                                  "think:recent=2,window=4"});
  experiment.max_tokens = {};
  experiment.num_samples = {};
  experiment.protocol = "speed";
  experiment.prompt_len = 14;
  experiment.gen_len = 7;
  experiment.batch = 3;
  experiment.repetitions = 1;
  const auto records = run(experiment);
  EXPECT_EQ(*records[0].final_cache_size, 8.0);
  EXPECT_EQ(*records[1].final_cache_size, 8.0 + 6.0);
  EXPECT_EQ(*records[2].final_cache_size, 12.0);
  EXPECT_EQ(*records[3].final_cache_size, 20.0);
  EXPECT_EQ(*records[4].final_cache_size, 20.0);
}

}  // namespace
}  // namespace kvg::harness
