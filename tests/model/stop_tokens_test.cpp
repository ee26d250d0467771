#include "model/stop_tokens.h"

#include <gtest/gtest.h>

#include "tests/support/expect_throw.h"
#include "tests/support/temp_folder.h"

namespace kvg::model {
namespace {

class StopTokens : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) { folder_.write(name, content); }

  [[nodiscard]] std::vector<std::int32_t> read() const { return stop_tokens(folder_.path(), 100); }

  testing_support::TempFolder folder_;
};

TEST_F(StopTokens, AreOneOrSeveral) {
  write("config.json", R"({"eos_token_id": 2})");
  EXPECT_EQ(read(), std::vector<std::int32_t>{2});
  write("config.json", R"({"eos_token_id": [7, 99]})");
  EXPECT_EQ(read(), (std::vector<std::int32_t>{7, 99}));
  write("config.json", R"({"eos_token_id": null})");
  EXPECT_TRUE(read().empty());
}

TEST_F(StopTokens, AreFirstThoseOfTheGeneration) {
  write("config.json", R"({"eos_token_id": 2})");
  write("generation_config.json", R"({"eos_token_id": [3, 4]})");
  EXPECT_EQ(read(), (std::vector<std::int32_t>{3, 4}));
  write("generation_config.json", R"({"temperature": 1})");
  EXPECT_EQ(read(), std::vector<std::int32_t>{2});
}

TEST_F(StopTokens, AreRefusedOutsideTheVocabulary) {
  for (const char* id : {"100", "-1", "[2, 1e9]", "\"</s>\"", "1.5", "18446744073709551615"}) {
    write("config.json", std::string(R"({"eos_token_id": )") + id + "}");
    testing_support::expect_throw<DataError>([this] { static_cast<void>(read()); },
                                             "eos_token_id holds what is no token id; allowed: 0");
  }
}

}  // namespace
}  // namespace kvg::model
