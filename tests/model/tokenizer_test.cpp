#include "model/tokenizer.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/text.h"
#include "kernels/core/assets.h"
#include "kernels/core/sha256.h"
#include "tests/model/model_files.h"

namespace kvg::model {
namespace {

using nlohmann::json;
using testing_support::TempFolder;

json read_json(const std::filesystem::path& file) {
  std::ifstream in(file);
  return json::parse(in);
}

const json& goldens() {
  static const json kGoldens =
      read_json(std::filesystem::path(KVG_GOLDEN_DIR) / "tokenizers" / "goldens.json");
  return kGoldens;
}

// The tokenizer that an entry of the golden file describes: a shipped checkpoint's, one that lies
// beside the goldens, or one of these with parts of its file replaced.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  const std::string base = name.substr(0, name.find(' '));
  const std::filesystem::path shipped = find_asset("model/checkpoints/" + base);
  const std::filesystem::path folder =
      shipped.empty() ? std::filesystem::path(KVG_GOLDEN_DIR) / "tokenizers" / base : shipped;
  if (base == name) {
    return load_tokenizer(folder);
  }
  TempFolder changed;
  if (shipped.empty()) {
    json file = read_json(folder / "tokenizer.json");
    file.update(goldens()["tokenizers"][name]["patch"]);
    changed.write("tokenizer.json", file.dump());
  } else {
    std::filesystem::copy_file(folder / "tokenizer.model", changed.path() / "tokenizer.model");
    changed.write("tokenizer_config.json", R"({"legacy": false, "add_bos_token": false})");
  }
  return load_tokenizer(changed.path());
}

// Names of the entries that hold `part`.
std::vector<std::string> names_with(const std::string& part) {
  std::vector<std::string> names;
  for (const auto& item : goldens()["tokenizers"].items()) {
    if (item.value().contains(part)) {
      names.push_back(item.key());
    }
  }
  return names;
}

std::string comma_list(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    text += text.empty() ? "" : ",";
    text += std::to_string(id);
  }
  return text;
}

class TokenizerGolden : public ::testing::TestWithParam<std::string> {
 protected:
  TokenizerGolden() : golden_(goldens()["tokenizers"][GetParam()]) {}

  const json& golden_;
  std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer(GetParam());
};

TEST_P(TokenizerGolden, HardStringsHaveTheIdsOfHuggingFace) {
  const json& strings = goldens()["hard"];
  ASSERT_EQ(strings.size(), golden_["hard"].size());
  for (std::size_t i = 0; i < strings.size(); ++i) {
    const auto expected = golden_["hard"][i].get<std::vector<std::int32_t>>();
    EXPECT_EQ(tokenizer_->encode(strings[i].get<std::string>()), expected) << strings[i];
  }
}

TEST_P(TokenizerGolden, BosIsThatOfHuggingFace) {
  const json& bos = golden_["bos"];
  EXPECT_EQ(tokenizer_->bos(),
            bos.is_null() ? std::nullopt : std::optional(bos.get<std::int32_t>()));
}

class TokenizerTexts : public TokenizerGolden {};

TEST_P(TokenizerTexts, ShippedTextsHaveTheIdsOfHuggingFace) {
  for (const std::string& name : datasets::shipped_texts()) {
    const std::vector<std::int32_t> ids = tokenizer_->encode(datasets::load_text(name).content);
    const json& expected = golden_["texts"][name];
    EXPECT_EQ(ids.size(), expected["count"].get<std::size_t>()) << name;
    EXPECT_EQ(std::vector<std::int32_t>(ids.begin(), ids.begin() + 16),
              expected["first16"].get<std::vector<std::int32_t>>());
    EXPECT_EQ(sha256_hex(comma_list(ids)), expected["sha256"].get<std::string>()) << name;
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& param_info) {
  std::string name = param_info.param;
  for (char& c : name) {
    c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, ::testing::ValuesIn(names_with("hard")), test_name);
INSTANTIATE_TEST_SUITE_P(All, TokenizerTexts, ::testing::ValuesIn(names_with("texts")), test_name);

// The ids that the model's own reference was computed with, BOS included.
TEST(Tokenizer, AgreesWithTheOraclesOnTheShippedTexts) {
  const json oracles = read_json(std::filesystem::path(KVG_GOLDEN_DIR) / "oracles.json");
  for (const std::string model : {"tiny-llama", "tiny-neox"}) {
    const auto tokenizer = make_tokenizer(model);
    for (const std::string& name : datasets::shipped_texts()) {
      std::vector<std::int32_t> ids = tokenizer->encode(datasets::load_text(name).content);
      if (tokenizer->bos()) {
        ids.insert(ids.begin(), *tokenizer->bos());
      }
      const json& oracle = oracles[model]["one_pass"][name + ".txt"];
      EXPECT_EQ(ids.size(), oracle["total_tokens"].get<std::size_t>()) << model << ", " << name;
      EXPECT_EQ(std::vector<std::int32_t>(ids.begin(), ids.begin() + 16),
                oracle["first16_token_ids"].get<std::vector<std::int32_t>>());
    }
  }
}

TEST(Tokenizer, DecodeGivesTheTextBack) {
  for (const std::string name : {"tiny-llama", "tiny-neox", "llama-3"}) {
    const auto tokenizer = make_tokenizer(name);
    const std::string text = "Hello,  w\xC3\xB6rld \xF0\x9F\x98\x80\n\t1234";
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << name;
  }
  const auto neox = make_tokenizer("tiny-neox");
  EXPECT_EQ(neox->decode(neox->encode("a<|endoftext|>b")), "a<|endoftext|>b");
  const auto llama = make_tokenizer("tiny-llama");
  EXPECT_EQ(llama->decode({1, 917}), "<s>This");
}

TEST(Tokenizer, VocabSizeCountsAddedTokens) {
  EXPECT_EQ(make_tokenizer("tiny-llama")->vocab_size(), 4096);
  EXPECT_EQ(make_tokenizer("tiny-neox")->vocab_size(), 4096);
  // 1000 trained, 5 added.
  EXPECT_EQ(make_tokenizer("llama-3")->vocab_size(), 1005);
}

// Steps that grew with the square of a word's length would take hours here.
TEST(Tokenizer, TakesHostileWordsInReasonableTime) {
  const std::string letters(std::size_t{1} << 19U, 'a');
  const std::string spaces(std::size_t{1} << 19U, ' ');
  for (const std::string name : {"tiny-llama", "tiny-neox", "llama-3", "qwen"}) {
    const auto tokenizer = make_tokenizer(name);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(letters)), letters) << name;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(spaces + "x")), spaces + "x") << name;
  }
}

}  // namespace
}  // namespace kvg::model
