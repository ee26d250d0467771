#include "harness/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <utility>
#include <vector>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;

TEST(Mean, OfValues) {
  EXPECT_DOUBLE_EQ(mean(std::array{1.0, 2.0, 6.0}), 3.0);
}

TEST(Mean, RefusesNothing) {
  expect_invalid([] { return mean({}); }, "at least one value");
}

TEST(SampleDeviation, DividesByOneLess) {
  // Squares 4, 1, 9 around 3: sqrt(14 / 2).
  EXPECT_DOUBLE_EQ(sample_deviation(std::array{1.0, 2.0, 6.0}), std::sqrt(7.0));
}

TEST(SampleDeviation, OfOneValueIsZero) {
  EXPECT_EQ(sample_deviation(std::array{5.0}), 0.0);
}

TEST(SampleDeviation, KeepsDigitsBesideALargeMean) {
  EXPECT_NEAR(sample_deviation(std::array{1e9, 1e9 + 1.0, 1e9 + 2.0}), 1.0, 1e-6);
}

TEST(Median, OfOddAndEvenCounts) {
  EXPECT_DOUBLE_EQ(median(std::array{9.0, 1.0, 5.0}), 5.0);
  EXPECT_DOUBLE_EQ(median(std::array{9.0, 1.0, 5.0, 6.0}), 5.5);
}

TEST(Quantile, LiesBetweenNeighbours) {
  const std::array values{10.0, 0.0, 20.0, 30.0, 40.0};
  EXPECT_DOUBLE_EQ(quantile(values, 0.0), 0.0);
  EXPECT_DOUBLE_EQ(quantile(values, 1.0), 40.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 36.0);
}

TEST(Quantile, RefusesMoreThanAll) {
  expect_invalid([] { return quantile(std::array{1.0}, 1.5); }, "a quantile is a share");
}

TEST(BootstrapInterval, OfEqualValuesIsThem) {
  const std::vector<std::vector<double>> groups{{1.0, 1.0, 1.0}, {0.5}};
  const Interval interval = bootstrap_interval(groups, 0);
  EXPECT_EQ(interval.low, 0.75);
  EXPECT_EQ(interval.high, 0.75);
}

// Of 100 draws of a share of 0.5 the deviation is 0.05, so that 95 % lie within 0.402 and 0.598;
// 1000 resamples know the ends to about 0.005.
TEST(BootstrapInterval, OfAShareIsItsBinomial) {
  std::vector<double> half(100, 0.0);
  std::fill_n(half.begin(), 50, 1.0);
  const std::vector<std::vector<double>> groups{half};
  const Interval interval = bootstrap_interval(groups, 3);
  EXPECT_NEAR(interval.low, 0.402, 0.02);
  EXPECT_NEAR(interval.high, 0.598, 0.02);
  EXPECT_EQ(bootstrap_interval(groups, 3).low, interval.low) << "seeded";
}

TEST(BootstrapInterval, OfEqualSharesIsThem) {
  const Interval interval = bootstrap_interval(std::array{Share{1, 4}, Share{2, 8}}, 0);
  EXPECT_EQ(interval.low, 0.25);
  EXPECT_EQ(interval.high, 0.25);
}

// Of two shares a resample takes one twice or both: 18/20, 9/40 or 0/60.
TEST(BootstrapInterval, PoolsWhatItDraws) {
  const Interval interval = bootstrap_interval(std::array{Share{9, 10}, Share{0, 30}}, 1);
  EXPECT_EQ(interval.low, 0.0);
  EXPECT_EQ(interval.high, 0.9);
  const Interval again = bootstrap_interval(std::array{Share{9, 10}, Share{0, 30}}, 1);
  EXPECT_EQ(again.low, interval.low) << "seeded";
}

TEST(StudentInterval, OfTwoAndThreeValues) {
  // Mean 2, deviation sqrt(2), over sqrt(2): 1 x t(1).
  const Interval two = student_interval(std::array{1.0, 3.0});
  EXPECT_NEAR(two.low, 2.0 - 12.7062047, 1e-6);
  EXPECT_NEAR(two.high, 2.0 + 12.7062047, 1e-6);
  // Mean 3, deviation sqrt(7): t(2) x sqrt(7 / 3).
  const Interval three = student_interval(std::array{1.0, 2.0, 6.0});
  EXPECT_NEAR(three.high - 3.0, 4.3026527 * std::sqrt(7.0 / 3.0), 1e-6);
}

// Published quantiles on both sides of where the table ends.
TEST(StudentInterval, OfManyValues) {
  for (const auto& [count, quantile] : {std::pair{11, 2.228139},
                                        std::pair{21, 2.085963},
                                        std::pair{22, 2.079614},
                                        std::pair{31, 2.042272},
                                        std::pair{121, 1.979930}}) {
    std::vector<double> values(static_cast<std::size_t>(count), 0.0);
    values[0] = 1.0;
    const double half = student_interval(values).high - mean(values);
    EXPECT_NEAR(half * std::sqrt(count) / sample_deviation(values), quantile, 2e-6) << count;
  }
}

TEST(StudentInterval, RefusesOneValue) {
  expect_invalid([] { return student_interval(std::array{1.0}); }, "at least two values");
}

TEST(Perplexity, OfEqualLikelihoodsIsTheirInverse) {
  const Perplexity result = perplexity(std::array{std::log(8.0), std::log(8.0)});
  EXPECT_DOUBLE_EQ(result.value, 8.0);
  EXPECT_EQ(result.standard_error, 0.0);
}

TEST(Perplexity, HasItsStandardError) {
  // Mean log 4, deviation log 2 x sqrt(2), over sqrt(2).
  const Perplexity result = perplexity(std::array{std::log(2.0), std::log(8.0)});
  EXPECT_DOUBLE_EQ(result.value, 4.0);
  EXPECT_DOUBLE_EQ(result.standard_error, 4.0 * std::log(2.0));
}

}  // namespace
}  // namespace kvg::harness
