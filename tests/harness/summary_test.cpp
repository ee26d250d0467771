#include "harness/summary.h"

#include <cmath>
#include <gtest/gtest.h>

#include "harness/protocols/text.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

Trace trace(std::vector<double> steps, std::vector<double> nll, std::int64_t correct) {
  Trace result;
  result.tokens = static_cast<std::int32_t>(nll.size()) + 1;
  result.eval_tokens = static_cast<std::int64_t>(nll.size());
  result.steps = std::move(steps);
  result.nll = std::move(nll);
  result.correct = correct;
  return result;
}

// Two samples: three scored tokens in 1 + 2 + 3 s, one in 5 s.
std::vector<Trace> two_samples() {
  std::vector<Trace> traces{
      trace({1.0, 2.0, 3.0}, {std::log(2.0), std::log(2.0), std::log(2.0)}, 2),
      trace({5.0}, {std::log(32.0)}, 0)};
  traces[0].final_cache_size = 3.0;
  traces[1].final_cache_size = 1.0;
  return traces;
}

TEST(SummariseText, PoolsSamplesAsDefined) {
  Record record;
  summarise_text({.dataset = "text", .sha256 = "", .samples = {}}, two_samples(), record);
  EXPECT_DOUBLE_EQ(*record.ttft, 3.0);
  EXPECT_DOUBLE_EQ(*record.tpot, 2.5);
  EXPECT_DOUBLE_EQ(*record.total_time, 11.0);
  EXPECT_EQ(record.eval_tokens, 4);
  EXPECT_DOUBLE_EQ(*record.throughput, 4.0 / 11.0);
  EXPECT_DOUBLE_EQ(*record.perplexity, 4.0);
  // Around log 4: -1, -1, -1 and 3 times log 2; deviation 2 log 2, over sqrt(4).
  EXPECT_NEAR(*record.perplexity_stderr, 4.0 * std::log(2.0), 1e-12);
  EXPECT_DOUBLE_EQ(*record.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(*record.final_cache_size, 2.0);
  EXPECT_DOUBLE_EQ(*record.itl_p50, 2.5);
}

TEST(SummariseText, CutsPositionsIntoEqualStretches) {
  // 40 scored positions, 60 to 99, and 10 of a shorter sample, 60 to 69; every stretch has two.
  std::vector<Trace> traces{trace({1.0}, std::vector(40, 1.0), 0),
                            trace({1.0}, std::vector(10, 4.0), 0)};
  traces[0].tokens = 100;
  traces[1].tokens = 70;
  traces[0].nll[1] = 4.0;
  traces[0].nll[39] = 3.0;
  Record record;
  summarise_text({.dataset = "text", .sha256 = "", .samples = {}}, traces, record);
  const std::vector<PositionNll>& bins = record.nll_by_position;
  ASSERT_EQ(bins.size(), 20U);
  EXPECT_EQ(bins[0].from, 60);
  EXPECT_EQ(bins[0].to, 62);
  EXPECT_DOUBLE_EQ(bins[0].nll, (1.0 + 4.0 + 4.0 + 4.0) / 4.0);
  EXPECT_DOUBLE_EQ(bins[4].nll, 2.5);
  EXPECT_DOUBLE_EQ(bins[5].nll, 1.0);
  EXPECT_EQ(bins[19].from, 98);
  EXPECT_EQ(bins[19].to, 100);
  EXPECT_DOUBLE_EQ(bins[19].nll, 2.0);
}

TEST(SummariseText, HasNoMoreStretchesThanPositions) {
  Record record;
  summarise_text({.dataset = "text", .sha256 = "", .samples = {}}, two_samples(), record);
  ASSERT_EQ(record.nll_by_position.size(), 3U);
  EXPECT_EQ(record.nll_by_position[0].from, 1);
  EXPECT_EQ(record.nll_by_position[0].to, 2);
  EXPECT_DOUBLE_EQ(record.nll_by_position[0].nll, (std::log(2.0) + std::log(32.0)) / 2.0);
  EXPECT_EQ(record.nll_by_position[2].to, 4);
}

// A sample of so many tokens, of which some were foreseen.
Sample timed(double ttft, double tpot, std::int64_t correct, std::int64_t tokens) {
  Sample sample;
  sample.eval_tokens = tokens;
  sample.correct = correct;
  sample.ttft = ttft;
  sample.tpot = tpot;
  return sample;
}

TEST(KeepIntervals, OfTheSamplesOfARecord) {
  Record record;
  record.samples = {timed(1.0, 0.5, 9, 10), timed(3.0, 0.5, 0, 30)};
  keep_intervals(record);
  // Mean 2, deviation over the root of the count 1, times t(1).
  EXPECT_NEAR(*record.ttft_low, 2.0 - 12.7062047, 1e-6);
  EXPECT_NEAR(*record.ttft_high, 2.0 + 12.7062047, 1e-6);
  EXPECT_DOUBLE_EQ(*record.tpot_low, 0.5);
  EXPECT_DOUBLE_EQ(*record.tpot_high, 0.5);
  EXPECT_DOUBLE_EQ(*record.accuracy_low, 0.0);
  EXPECT_DOUBLE_EQ(*record.accuracy_high, 0.9);
}

TEST(KeepIntervals, OfOneSampleThereAreNone) {
  Record record;
  record.samples = {timed(1.0, 0.5, 9, 10)};
  keep_intervals(record);
  EXPECT_FALSE(record.ttft_low);
  EXPECT_FALSE(record.tpot_high);
  EXPECT_FALSE(record.accuracy_low);
}

TEST(KeepIntervals, LeavesOutWhatASampleLacks) {
  Record record;
  record.samples = {timed(1.0, 0.5, 9, 10), timed(1.0, 0.5, 9, 10)};
  record.samples[1].tpot = {};
  record.samples[0].correct = {};
  keep_intervals(record);
  EXPECT_TRUE(record.ttft_low);
  EXPECT_FALSE(record.tpot_low);
  EXPECT_FALSE(record.accuracy_low);
}

TEST(KeepBitsPerByte, CountsBytesOfScoredTokens) {
  // Three bytes a token; of five and two tokens the last three and one are scored.
  const Workload workload{
      .dataset = "text",
      .sha256 = "",
      .samples = {{1, 2, 3, 4, 5}, {1, 2}},
      .bytes_of = [](std::span<const std::int32_t> ids) { return 3 * ids.size(); }};
  const std::vector<Trace> traces{trace({}, {std::log(2.0), std::log(2.0), std::log(4.0)}, 0),
                                  trace({}, {std::log(256.0)}, 0)};
  Record record;
  keep_bits_per_byte(workload, traces, record);
  EXPECT_NEAR(*record.bits_per_byte, (1.0 + 1.0 + 2.0 + 8.0) / 12.0, 1e-12);
}

TEST(SummariseText, LeavesQualityOfRandomIdsOut) {
  Record record;
  summarise_text(
      {.dataset = "random", .sha256 = "", .scored = false, .samples = {}}, two_samples(), record);
  EXPECT_FALSE(record.perplexity);
  EXPECT_FALSE(record.perplexity_stderr);
  EXPECT_FALSE(record.accuracy);
  EXPECT_TRUE(record.nll_by_position.empty());
  EXPECT_EQ(record.eval_tokens, 4);
}

TEST(SummariseText, HasNoTpotWithoutALaterStep) {
  Record record;
  summarise_text(
      {.dataset = "text", .sha256 = "", .samples = {}}, std::vector{two_samples()[1]}, record);
  EXPECT_FALSE(record.tpot);
  EXPECT_FALSE(record.itl_p50);
  EXPECT_DOUBLE_EQ(*record.total_time, 5.0);
}

TEST(SummariseSpeed, TakesMediansOverRepetitions) {
  // Prompts of 4 tokens for 2 rows, 3 tokens generated each.
  const Workload workload{.dataset = "random",
                          .sha256 = "",
                          .scored = false,
                          .samples = {std::vector<std::int32_t>(8)},
                          .repeats = 3};
  std::vector<Trace> traces;
  for (const double unit : {1.0, 9.0, 2.0}) {
    Trace repetition;
    repetition.steps = {10.0 * unit, unit, 3.0 * unit};
    repetition.eval_tokens = 6;
    repetition.final_cache_size = 6.0;
    traces.push_back(repetition);
  }
  Record record;
  record.batch = 2;
  find_protocol("speed").summarise(workload, traces, record);
  EXPECT_DOUBLE_EQ(*record.ttft, 20.0);
  EXPECT_DOUBLE_EQ(*record.tpot, 4.0);
  EXPECT_DOUBLE_EQ(*record.total_time, 28.0);
  EXPECT_EQ(record.eval_tokens, 6);
  EXPECT_DOUBLE_EQ(*record.throughput, 6.0 / 28.0);
  EXPECT_DOUBLE_EQ(*record.prefill_throughput, 8.0 / 20.0);
  EXPECT_DOUBLE_EQ(*record.decode_throughput, 2.0 / 4.0);
  EXPECT_DOUBLE_EQ(*record.final_cache_size, 6.0);
  EXPECT_FALSE(record.perplexity);
}

TEST(ToSample, HoldsTheFiguresOfOneTrace) {
  const Sample sample = to_sample(two_samples()[0], true);
  EXPECT_EQ(sample.tokens, 4);
  EXPECT_EQ(sample.eval_tokens, 3);
  EXPECT_DOUBLE_EQ(*sample.nll_sum, 3.0 * std::log(2.0));
  EXPECT_EQ(*sample.correct, 2);
  EXPECT_DOUBLE_EQ(*sample.ttft, 1.0);
  EXPECT_DOUBLE_EQ(*sample.tpot, 2.5);
  EXPECT_DOUBLE_EQ(sample.total_time, *sample.ttft + 2.0 * *sample.tpot);
  EXPECT_FALSE(to_sample(two_samples()[0], false).nll_sum);
}

TEST(ToSample, KeepsEveryLaterStep) {
  EXPECT_EQ(to_sample(two_samples()[0], true).step_times, (std::vector{2.0, 3.0}));
  EXPECT_TRUE(to_sample(two_samples()[1], true).step_times.empty());
}

TEST(KeepSpread, ComparesTheStepsThatAllSamplesHave) {
  std::vector<Trace> traces{trace({9.0, 1.0, 1.0, 50.0}, {}, 0),
                            trace({5.0, 1.0, 1.04}, {}, 0),
                            trace({1.0, 1.0, 1.0, 70.0, 80.0}, {}, 0)};
  Record record;
  keep_spread(traces, record);
  EXPECT_NEAR(*record.spread, 0.02, 1e-12) << "rounding of two means";
  EXPECT_EQ(record.noisy, false);
  traces[1].steps[2] = 1.12;
  keep_spread(traces, record);
  EXPECT_NEAR(*record.spread, 0.06, 1e-12) << "likewise";
  EXPECT_EQ(record.noisy, true);
}

TEST(KeepSpread, FallsBackOnTheFirstFeed) {
  Record record;
  keep_spread(std::vector{trace({3.0}, {}, 0), trace({1.0, 1.0}, {}, 0)}, record);
  EXPECT_DOUBLE_EQ(*record.spread, 1.0);
}

TEST(KeepSpread, TellsNothingOfOneSample) {
  Record record;
  keep_spread(std::vector{trace({1.0, 2.0}, {}, 0)}, record);
  EXPECT_FALSE(record.spread);
  EXPECT_FALSE(record.noisy);
}

TEST(KeepClocks, GathersWhatHeldTheCardDown) {
  using Reading = std::optional<Clocks>;
  Record record;
  const Reading idle = Clocks{.sm_mhz = 300, .reasons = 0x1};
  const Reading capped = Clocks{.sm_mhz = 1500, .reasons = 0x4};
  const Reading free = Clocks{.sm_mhz = 1980};
  keep_clocks(std::vector{idle, free}, record);
  EXPECT_EQ(record.sm_clock_before_mhz, 300);
  EXPECT_EQ(record.sm_clock_mhz, 1980);
  EXPECT_EQ(record.throttled, false) << "an idle card is not held down";
  keep_clocks(std::vector{idle, capped, free}, record);
  EXPECT_EQ(record.throttled, true);
  EXPECT_EQ(record.throttle_reasons, "sw_power_cap");
  Record unknown;
  keep_clocks(std::vector{Reading(), Reading()}, unknown);
  EXPECT_FALSE(unknown.throttled);
  EXPECT_FALSE(unknown.sm_clock_mhz);
}

TEST(SummariseCache, AveragesOverSamplesAndKeepsTheExtremes) {
  std::vector<Trace> traces = two_samples();
  traces[0].kept = {.mean = 8.0, .min = 7, .max = 10};
  traces[0].kept_fraction = 0.5;
  traces[0].step_read_bytes = 100.0;
  traces[1].kept = {.mean = 5.0, .min = 2, .max = 6};
  traces[1].kept_fraction = 0.25;
  traces[1].step_read_bytes = 301.0;
  Record record;
  summarise_cache(traces, record);
  ASSERT_TRUE(record.kept_entries);
  EXPECT_DOUBLE_EQ(record.kept_entries->mean, 6.5);
  EXPECT_EQ(record.kept_entries->min, 2);
  EXPECT_EQ(record.kept_entries->max, 10);
  EXPECT_DOUBLE_EQ(*record.kept_fraction, 0.375);
  EXPECT_EQ(*record.kv_bytes_read_per_step, 201) << "whole bytes";
}

TEST(KeepScore, RefusesALikelihoodThatIsNoNumber) {
  Trace kept = two_samples()[0];
  testing_support::expect_throw<Error>(
      [&kept] { keep_score(kept, {.nll = std::nanf(""), .best = 0}, 1); },
      "the likelihood of scored token 4 is not a finite number");
}

}  // namespace
}  // namespace kvg::harness
