// DuoAttention's file of heads: what it means, and what a hostile one is answered.

#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "kvcompress/policy.h"
#include "tests/support/expect_throw.h"
#include "tests/support/temp_folder.h"

namespace kvg::kvcompress {
namespace {

using testing_support::expect_invalid;
using testing_support::expect_throw;
using testing_support::TempFolder;

class Duo : public testing::Test {
 protected:
  Policy parsed(const std::string& content, const std::string& params = "") {
    const std::string path = folder_.write("heads.txt", content).string();
    return parse_policy("duo:matrix=" + path + params);
  }
  void expect_broken(const std::string& content, std::string_view message) {
    expect_throw<DataError>([&] { (void)parsed(content); }, message);
  }

  TempFolder folder_;
};

TEST_F(Duo, HeadsKeepEverythingOrSinksAndAWindow) {
  const Policy policy = parsed("1 0\n\n0 1\n", ",sinks=2,recent=4");
  EXPECT_NO_THROW(policy.selection->check(2, 2));
  const auto plan = [&](int layer, int head) {
    return policy.selection->plan({layer, 2, 2, 9}, head);
  };
  for (const auto& [layer, head] : {std::pair{0, 0}, std::pair{1, 1}}) {
    EXPECT_EQ(plan(layer, head).kept, 9);
    EXPECT_EQ(plan(layer, head).budget, 0);
    EXPECT_EQ(plan(layer, 1 - head).kept, 6);
    EXPECT_EQ(plan(layer, 1 - head).budget, 6);
    EXPECT_EQ(plan(layer, 1 - head).sinks, 2);
  }
  EXPECT_EQ(policy.selection->requested(), "6");
}

TEST_F(Duo, CanonicalSpecsParseBackToThemselves) {
  for (const char* codec : {"", "+int4", "+f16"}) {
    const std::string text = parsed("1\n", codec).canonical;
    EXPECT_EQ(parse_policy(text).canonical, text);
    EXPECT_EQ(parse_policy(text, Feed::kPrompt).canonical, text);
  }
}

TEST_F(Duo, RefusesCodecsWhoseEntriesWait) {
  expect_invalid([&] { (void)parsed("1\n", "+kivi2"); }, "but duo evicts in steps");
}

TEST_F(Duo, RefusesFilesThatCannotBeRead) {
  expect_throw<DataError>(
      [&] { (void)parse_policy("duo:matrix=" + (folder_.path() / "none").string()); },
      "none cannot be read");
  expect_throw<DataError>([&] { (void)parse_policy("duo:matrix=" + folder_.path().string()); },
                          " cannot be read");
}

TEST_F(Duo, RefusesOtherWordsThanZeroAndOne) {
  expect_broken("1 0\n1 x\n", "heads.txt, line 2: \"x\" is neither 0 nor 1");
  expect_broken("0.5\n", "\"0.5\" is neither 0 nor 1");
  expect_broken("10\n", "\"10\" is neither 0 nor 1");
  expect_broken(std::string(5000, '1'), "\"11111111111111111111\" is neither 0 nor 1");
}

TEST_F(Duo, RefusesFilesWithoutEnd) {
  std::string wide;
  std::string tall;
  for (int i = 0; i < 1025; ++i) {
    wide += "1 ";
    tall += "1\n";
  }
  expect_broken(wide, "heads.txt has more than 1024 layers or kv_heads");
  expect_broken(tall, "heads.txt has more than 1024 layers or kv_heads");
  expect_broken(std::string(std::size_t{8} << 20U, ' '), "heads.txt has more than 4194304 bytes");
  expect_throw<DataError>([] { (void)parse_policy("duo:matrix=/dev/zero"); },
                          "/dev/zero has more than 4194304 bytes");
}

TEST_F(Duo, RefusesAModelOfAnotherShape) {
  for (const char* content : {"", "1 0\n", "1 0\n1\n", "1 0\n1 0\n1 0\n", "1 0 1\n1 0 1\n"}) {
    const Policy policy = parsed(content);
    expect_invalid(
        [&] {
          check_policy(policy, 2, {4, 2, 64}, DType::kF32);
        },
        "heads.txt must have 2 lines of 2 for this model");
  }
}

}  // namespace
}  // namespace kvg::kvcompress
