#include "tests/support/reference.h"

#include <cmath>
#include <gtest/gtest.h>

namespace kvg::testing_support {
namespace {

using kernels::Activation;
using kernels::NormKind;

// The references judge every backend, so each is held to values worked out by hand.

void expect_values(const Values& got, const Values& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 1e-12) << i;
  }
}

TEST(Reference, RmsNorm) {
  // mean(9, 16) = 12.5; with eps 3.5 the root is 4.
  expect_values(normalised({3.0, 4.0}, {.weight = {2.0, 4.0}, .bias = {}, .eps = 3.5}), {1.5, 4.0});
}

TEST(Reference, LayerNorm) {
  // mean 3, variance 4; with eps 5 the root is 3.
  expect_values(
      normalised(
          {1.0, 5.0, 3.0, 3.0},
          {.kind = NormKind::kLayer, .weight = {3.0, 6.0}, .bias = {10.0, 20.0}, .eps = 5.0}),
      {8.0, 24.0, 10.0, 20.0});
}

TEST(Reference, MatrixProduct) {
  const Matrix matrix = {
      .weight = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, .bias = {0.0, 100.0, -1.0}, .out = 3, .in = 2};
  expect_values(multiplied({10.0, 1.0, 0.0, -1.0}, matrix), {12.0, 134.0, 55.0, -2.0, 96.0, -7.0});
}

TEST(Reference, Activations) {
  const double e = std::exp(1.0);
  expect_values(activated({0.0, 1.0, -1.0}, Activation::kSilu, 3),
                {0.0, e / (1.0 + e), -1.0 / (1.0 + e)});
  // Phi(1) = 0.841344746068543, from tables of the normal distribution.
  expect_values(activated({1.0, -1.0}, Activation::kGelu, 2),
                {0.841344746068543, -0.158655253931457});
  EXPECT_NEAR(activated({1.0}, Activation::kGeluTanh, 1)[0], 0.8411919906082768, 1e-12);
  expect_values(activated({-2.5}, Activation::kNone, 1), {-2.5});
}

TEST(Reference, GatedFormsTakeTheGateFirst) {
  // Two rows of gate (2), up (2).
  expect_values(activated({1.0, 0.0, 10.0, 7.0, -1.0, 0.0, 2.0, 7.0}, Activation::kGatedGelu, 4),
                {8.41344746068543, 0.0, -0.317310507862914, 0.0});
}

TEST(Reference, RotationTurnsHalfSplitPairs) {
  // Position 1 turns pair (0, 2) by a quarter and pair (1, 3) not at all; channel 4 stays.
  const RopeTable rope = {.table = {1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0}, .rotary_dim = 4};
  expect_values(rotated({1.0, 2.0, 3.0, 4.0, 5.0}, rope, 0), {1.0, 2.0, 3.0, 4.0, 5.0});
  expect_values(rotated({1.0, 2.0, 3.0, 4.0, 5.0}, rope, 1), {-3.0, 2.0, 1.0, 4.0, 5.0});
}

TEST(Reference, AttentionWeighsValues) {
  const Values query = {1.0, 0.0};
  // Scores ln 3 and 0: weights 3/4 and 1/4.
  expect_values(attended({.queries = {&query, &query},
                          .keys = {2.0 * std::log(3.0), 9.0, 0.0, 5.0},
                          .values = {1.0, 0.0, 0.0, 1.0},
                          .scale = 0.5}),
                {0.75, 0.25});
}

TEST(Reference, AttentionTakesAQueryAnEntry) {
  const Values query = {0.0};
  const Values sink_query = {1.0};
  expect_values(attended({.queries = {&sink_query, &query},
                          .keys = {std::log(4.0), 123.0},
                          .values = {1.0, 6.0},
                          .scale = 1.0}),
                {2.0});
}

TEST(Reference, Scores) {
  EXPECT_NEAR(negative_log_likelihood({0.0, std::log(3.0)}, 0), std::log(4.0), 1e-12);
  EXPECT_NEAR(negative_log_likelihood({1000.0, 1000.0}, 1), std::log(2.0), 1e-12);
  EXPECT_EQ(negative_log_likelihood({1.0, 2.0}, -1), 0.0);
  EXPECT_EQ(arg_max({1.0, 3.0, 3.0, 2.0}), 1);
}

TEST(Reference, Divergence) {
  // 3/4 and 1/4 against halves: 3/4 ln(3/2) + 1/4 ln(1/2).
  const double want = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  EXPECT_NEAR(divergence({std::log(3.0), 0.0}, {7.0, 7.0}), want, 1e-12);
  // The other way round: 1/2 ln(2/3) + 1/2 ln 2.
  EXPECT_NEAR(divergence({7.0, 7.0}, {std::log(3.0), 0.0}),
              0.5 * std::log(2.0 / 3.0) + 0.5 * std::log(2.0),
              1e-12);
  EXPECT_EQ(divergence({1.0, 2.0, 3.0}, {1.0, 2.0, 3.0}), 0.0);
}

TEST(Reference, RelativeError) {
  EXPECT_NEAR(relative_error({3.0, 4.5}, {3.0, 4.0}), 0.1, 1e-12);
  EXPECT_TRUE(std::isnan(relative_error({std::nan(""), 4.0}, {3.0, 4.0})));
  EXPECT_TRUE(std::isnan(relative_error({3.0}, {3.0, 4.0})));
}

}  // namespace
}  // namespace kvg::testing_support
