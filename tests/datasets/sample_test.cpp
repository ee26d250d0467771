#include "datasets/sample.h"

#include <gtest/gtest.h>

#include "tests/support/expect_throw.h"

namespace kvg::datasets {
namespace {

using Ids = std::vector<std::int32_t>;
using Samples = std::vector<Ids>;
using testing_support::expect_invalid;

const Ids kSeven = {10, 11, 12, 13, 14, 15, 16};

TEST(CutSamples, AreConsecutiveAndDoNotOverlap) {
  EXPECT_EQ(cut_samples(kSeven, std::nullopt, 3, 2), (Samples{{10, 11, 12}, {13, 14, 15}}));
}

TEST(CutSamples, CountTheBosOfEachStretch) {
  EXPECT_EQ(cut_samples(kSeven, 1, 3, 2), (Samples{{1, 10, 11}, {1, 12, 13}}));
}

TEST(CutSamples, KeepAShorterLastOne) {
  EXPECT_EQ(cut_samples(kSeven, std::nullopt, 3, 5), (Samples{{10, 11, 12}, {13, 14, 15}, {16}}));
  EXPECT_EQ(cut_samples(kSeven, 1, 7, 5), (Samples{{1, 10, 11, 12, 13, 14, 15}, {1, 16}}));
}

TEST(CutSamples, NeverHoldABosAlone) {
  EXPECT_EQ(cut_samples(kSeven, 1, 8, 5).size(), 1U);
  EXPECT_TRUE(cut_samples({}, 1, 8, 5).empty());
}

TEST(CutSamples, TakeTwoTokensAtLeast) {
  EXPECT_EQ(cut_samples(kSeven, 1, 2, 1), (Samples{{1, 10}}));
  expect_invalid([] { (void)cut_samples(kSeven, 1, 1, 1); }, "a sample needs 2 tokens");
  expect_invalid([] { (void)cut_samples(kSeven, 1, 2, 0); }, "at least one sample");
}

}  // namespace
}  // namespace kvg::datasets
