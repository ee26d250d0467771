#include "kernels/core/utf8.h"

#include <gtest/gtest.h>
#include <string>

namespace kvg {
namespace {

constexpr std::size_t kValid = std::string_view::npos;

TEST(FirstInvalidUtf8, AcceptsEveryLengthAtItsBounds) {
  EXPECT_EQ(first_invalid_utf8(""), kValid);
  EXPECT_EQ(first_invalid_utf8(std::string_view("\0\x7F", 2)), kValid);
  EXPECT_EQ(first_invalid_utf8("\xC2\x80\xDF\xBF"), kValid);                  // U+0080, U+07FF
  EXPECT_EQ(first_invalid_utf8("\xE0\xA0\x80\xEF\xBF\xBF"), kValid);          // U+0800, U+FFFF
  EXPECT_EQ(first_invalid_utf8("\xED\x9F\xBF\xEE\x80\x80"), kValid);          // around surrogates
  EXPECT_EQ(first_invalid_utf8("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"), kValid);  // U+10000, U+10FFFF
}

TEST(FirstInvalidUtf8, NamesWhereTheBadCharacterBegins) {
  EXPECT_EQ(first_invalid_utf8("ab\x80"), 2U);            // a tail without a lead
  EXPECT_EQ(first_invalid_utf8("a\xC1\xBF"), 1U);         // overlong, two bytes
  EXPECT_EQ(first_invalid_utf8("\xE0\x9F\xBF"), 0U);      // overlong, three
  EXPECT_EQ(first_invalid_utf8("\xF0\x8F\xBF\xBF"), 0U);  // overlong, four
  EXPECT_EQ(first_invalid_utf8("ok\xED\xA0\x80"), 2U);    // a surrogate
  EXPECT_EQ(first_invalid_utf8("\xF4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(first_invalid_utf8("\xF5\x80\x80\x80"), 0U);  // no such lead
  EXPECT_EQ(first_invalid_utf8("\xC3\xA9\xC3"), 2U);      // cut off
  EXPECT_EQ(first_invalid_utf8("\xE2\x82\x41"), 0U);      // a letter for a tail
  EXPECT_EQ(first_invalid_utf8("\xC3\xA9\xF0\x9F\x98\x41"), 2U);
}

}  // namespace
}  // namespace kvg
