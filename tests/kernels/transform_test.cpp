#include "kernels/transform.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/hash.h"
#include "tests/support/device_data.h"
#include "tests/support/expect_throw.h"

namespace kvg::kernels {
namespace {

using Floats = std::vector<float>;

Floats unit(std::size_t dim, std::size_t channel) {
  Floats x(dim, 0.0F);
  x[channel] = 1.0F;
  return x;
}

Floats random_floats(std::size_t dim, std::uint32_t seed) {
  const testing_support::Values values = testing_support::random_values(dim, seed);
  return {values.begin(), values.end()};
}

double dot(const Floats& a, const Floats& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

// Row i, column j of the Walsh-Hadamard matrix.
float sign_at(std::size_t i, std::size_t j) {
  return std::popcount(i & j) % 2 == 0 ? 1.0F : -1.0F;
}

TEST(Transform, HadamardOfUnitVectors) {
  for (const std::size_t channel : {0U, 1U, 37U, 63U}) {
    Floats x = unit(64, channel);
    turn_entry(Transform::kHadamard, x.data(), 64);
    Floats y = unit(64, channel);
    turn_entry(Transform::kSignedHadamard, y.data(), 64);
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(x[i], sign_at(i, channel) / 8.0F) << i;
      EXPECT_EQ(y[i], x[i] * random_sign(static_cast<int>(channel))) << i;
    }
  }
}

TEST(Transform, EvenAndOddChannelsOfASpanStayApart) {
  for (const std::size_t channel : {0U, 1U, 6U, 63U, 64U, 127U}) {
    Floats x = unit(128, channel);
    turn_entry(Transform::kEvenOdd, x.data(), 128);
    for (std::size_t i = 0; i < 128; ++i) {
      const bool together = i / 64 == channel / 64 && i % 2 == channel % 2;
      EXPECT_EQ(x[i], together ? sign_at(i % 64 / 2, channel % 64 / 2) : 0.0F) << i;
    }
  }
}

TEST(Transform, RandomSignsAreOfBothKinds) {
  int minus = 0;
  for (int channel = 0; channel < 128; ++channel) {
    EXPECT_EQ(std::fabs(random_sign(channel)), 1.0F);
    minus += random_sign(channel) < 0.0F ? 1 : 0;
  }
  EXPECT_GT(minus, 40);
  EXPECT_LT(minus, 88);
}

TEST(Transform, KeepsProductsAndTurnsBack) {
  for (const Transform transform :
       {Transform::kNone, Transform::kHadamard, Transform::kSignedHadamard, Transform::kEvenOdd}) {
    for (const int dim : {64, 128, 256}) {
      const Floats key = random_floats(static_cast<std::size_t>(dim), 1);
      const Floats query = random_floats(static_cast<std::size_t>(dim), 2);
      Floats turned_key = key;
      Floats turned_query = query;
      turn_entry(transform, turned_key.data(), dim);
      turn_query(transform, turned_query.data(), dim);
      // A few roundings of each of 256 terms.
      EXPECT_NEAR(dot(turned_query, turned_key), dot(query, key), 1e-4) << dim;
      turn_back(transform, turned_key.data(), dim);
      for (std::size_t i = 0; i < key.size(); ++i) {
        EXPECT_NEAR(turned_key[i], key[i], 1e-5) << dim;
      }
    }
  }
}

TEST(Transform, RefusesOtherDims) {
  Floats x(96, 0.0F);
  testing_support::expect_invalid([&] { turn_entry(Transform::kHadamard, x.data(), 96); },
                                  "a power of two channels, not 96");
  testing_support::expect_invalid([&] { turn_entry(Transform::kEvenOdd, x.data(), 96); },
                                  "spans of 64 channels, not 96");
}

}  // namespace
}  // namespace kvg::kernels
