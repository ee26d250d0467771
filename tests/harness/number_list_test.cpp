#include "harness/number_list.h"

#include <gtest/gtest.h>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using Numbers = std::vector<std::int32_t>;

TEST(ParseNumbers, ReadsListsAndRanges) {
  const NumberRange any{"--context", 0, 100'000};
  EXPECT_EQ(parse_numbers("7", any), (Numbers{7}));
  EXPECT_EQ(parse_numbers("500,1000,1900", any), (Numbers{500, 1000, 1900}));
  EXPECT_EQ(parse_numbers("0-100+25", any), (Numbers{0, 25, 50, 75, 100}));
  EXPECT_EQ(parse_numbers("256-4096*2", any), (Numbers{256, 512, 1024, 2048, 4096}));
  EXPECT_EQ(parse_numbers("3-5", any), (Numbers{3, 4, 5}));
  EXPECT_EQ(parse_numbers("1,10-30+15", any), (Numbers{1, 10, 25}));
}

TEST(ParseNumbers, RefusesTheRest) {
  for (const char* bad : {"",
                          ",",
                          "1,",
                          "a",
                          "1 ",
                          "-1",
                          "101",
                          "5-3",
                          "1-5*1",
                          "0-5*2",
                          "1-5+0",
                          "1-5/2",
                          "1-5+1x",
                          "1-",
                          "1+5",
                          "99999999999"}) {
    testing_support::expect_invalid(
        [bad] {
          static_cast<void>(parse_numbers(bad, {"--depth", 0, 100}));
        },
        "--depth " + std::string(bad) + " is not understood; allowed: up to 1000 whole numbers");
  }
  testing_support::expect_invalid(
      [] {
        static_cast<void>(parse_numbers("0-2000", {"--depth", 0, 5000}));
      },
      "up to 1000");
}

}  // namespace
}  // namespace kvg::harness
