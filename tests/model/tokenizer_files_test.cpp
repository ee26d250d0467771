#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/core/assets.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using nlohmann::json;
using testing_support::expect_throw;
using testing_support::TempFolder;

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const json& llama3() {
  static const json kFile = json::parse(
      read_file(std::filesystem::path(KVG_GOLDEN_DIR) / "tokenizers/llama-3/tokenizer.json"));
  return kFile;
}

std::string sentencepiece_model() {
  return read_file(find_asset("model/checkpoints/tiny-llama") / "tokenizer.model");
}

// The good Llama-3 file after `change`.
std::string changed(const std::function<void(json&)>& change) {
  json file = llama3();
  change(file);
  return file.dump();
}

// The good Llama-3 file with other pre-tokenizers before its ByteLevel.
std::string with_split(const std::string& pattern, const std::string& behavior = "Isolated") {
  return changed([&](json& file) {
    json& split = file["pre_tokenizer"]["pretokenizers"][0];
    split["pattern"] = {{"Regex", pattern}};
    split["behavior"] = behavior;
  });
}

void expect_refused(const std::string& name, const std::string& bytes, const std::string& part) {
  TempFolder folder;
  folder.write(name, bytes);
  expect_throw<DataError>([&] { (void)load_tokenizer(folder.path()); },
                          (folder.path() / name).string() + ": " + part);
}

void expect_json_refused(const std::function<void(json&)>& change, const std::string& part) {
  expect_refused("tokenizer.json", changed(change), part);
}

TEST(TokenizerFiles, MustBeThere) {
  TempFolder folder;
  expect_throw<DataError>(
      [&] { (void)load_tokenizer(folder.path()); },
      folder.path().string() + ": neither tokenizer.json nor tokenizer.model is there");
}

TEST(TokenizerFiles, JsonMustBeJsonAndByteLevelBpe) {
  expect_refused("tokenizer.json", llama3().dump().substr(0, 5000), "not valid JSON");
  expect_refused("tokenizer.json", "[]", "not a JSON object");
  expect_refused("tokenizer.json", "{}", "not byte-level BPE");
  expect_json_refused([](json& file) { file["model"]["type"] = "WordPiece"; },
                      "not byte-level BPE (model BPE, pre_tokenizer ByteLevel); supported: that, "
                      "or a tokenizer.model beside it");
  expect_json_refused(
      [](json& file) {
        file["pre_tokenizer"] = {{"type", "Whitespace"}};
      },
      "not byte-level BPE");
}

TEST(TokenizerFiles, SentencepieceIsReadBesideAnotherKindOfJson) {
  TempFolder folder;
  folder.write("tokenizer.json", R"({"model": {"type": "BPE"}})");
  folder.write("tokenizer.model", sentencepiece_model());
  EXPECT_EQ(load_tokenizer(folder.path())->vocab_size(), 4096);
}

TEST(TokenizerFiles, ByteLevelBpeIsReadBesideSentencepiece) {
  TempFolder folder;
  folder.write("tokenizer.json", llama3().dump());
  folder.write("tokenizer.model", "unread");
  EXPECT_EQ(load_tokenizer(folder.path())->vocab_size(), 1005);
}

TEST(TokenizerFiles, VocabIdsAreChecked) {
  const auto with_id = [](const json& id) {
    return [id](json& file) { file["model"]["vocab"]["zz"] = id; };
  };
  expect_json_refused(with_id(-1), "model: vocab: zz is -1; allowed: 0 to 2097151");
  expect_json_refused(with_id(4000000000000), "model: vocab: zz is 4000000000000; allowed: 0 to");
  expect_json_refused(with_id("7"), "model: vocab: zz is \"7\"; allowed: 0 to");
  expect_json_refused(with_id(1.5), "model: vocab: zz is 1.5; allowed: 0 to");
  expect_json_refused(with_id(17), "model: vocab: id 17 is given twice");
}

TEST(TokenizerFiles, VocabAndMergesMustBeComplete) {
  expect_json_refused([](json& file) { file["model"].erase("vocab"); }, "model: vocab is missing");
  expect_json_refused([](json& file) { file["model"]["vocab"].erase("a"); },
                      "model: vocab: there is no token for byte 97");
  expect_json_refused([](json& file) { file["model"].erase("merges"); },
                      "model: merges is missing or not an array");
  const auto with_merge = [](const json& merge) {
    return [merge](json& file) { file["model"]["merges"][2] = merge; };
  };
  const std::string unknown = "model: merges: number 2 names a token that is not in the vocab";
  expect_json_refused(with_merge("a \xC4\xA0q\xC4\xA0q"), unknown);
  expect_json_refused(with_merge({"q", "z"}), unknown);
  expect_json_refused(with_merge("a"), "model: merges: number 2 is not a pair of tokens");
  expect_json_refused(with_merge("a b c"), "model: merges: number 2 is not a pair of tokens");
  expect_json_refused(with_merge({"a", 1}), "model: merges: number 2 is not a pair of tokens");
}

// " the" is one token of the vocab; without merges only its four bytes lead there.
TEST(TokenizerFiles, IgnoreMergesTakesWholeWordsOfTheVocabFirst) {
  TempFolder folder;
  json file = llama3();
  file["model"]["merges"] = json::array();
  folder.write("tokenizer.json", file.dump());
  const json& vocab = file["model"]["vocab"];
  EXPECT_EQ(load_tokenizer(folder.path())->encode(" the"),
            (std::vector<std::int32_t>{vocab["\xC4\xA0the"].get<std::int32_t>()}));
  file["model"]["ignore_merges"] = false;
  folder.write("tokenizer.json", file.dump());
  EXPECT_EQ(load_tokenizer(folder.path())->encode(" the"),
            (std::vector<std::int32_t>{vocab["\xC4\xA0"], vocab["t"], vocab["h"], vocab["e"]}));
}

TEST(TokenizerFiles, OptionsOfTheModelAreRefusedByName) {
  expect_json_refused([](json& file) { file["model"]["dropout"] = 0.1; },
                      "model: dropout is not supported");
  expect_json_refused([](json& file) { file["model"]["end_of_word_suffix"] = "</w>"; },
                      "model: end_of_word_suffix is not supported");
  expect_json_refused([](json& file) { file["model"]["continuing_subword_prefix"] = "##"; },
                      "model: continuing_subword_prefix is not supported");
}

TEST(TokenizerFiles, OtherNormalizersAreRefusedByName) {
  expect_json_refused(
      [](json& file) {
        file["normalizer"] = {{"type", "Lowercase"}};
      },
      "normalizer: type is \"Lowercase\"; supported: NFC, none");
  expect_json_refused(
      [](json& file) {
        file["normalizer"] = {{"type", "Sequence"},
                              {"normalizers", {{{"type", "NFC"}}, {{"type", "Strip"}}}}};
      },
      "normalizer: normalizers: type is \"Strip\"; supported: NFC, none");
}

TEST(TokenizerFiles, OtherPreTokenizersAreRefusedByName) {
  const auto first = [](const json& stage) {
    return [stage](json& file) { file["pre_tokenizer"]["pretokenizers"][0] = stage; };
  };
  expect_json_refused(
      first({{"type", "Punctuation"}}),
      "pre_tokenizer: pretokenizers: type is \"Punctuation\"; supported: ByteLevel, "
      "Split, Digits, and a Sequence of these ending in ByteLevel");
  expect_json_refused(first({{"type", "ByteLevel"}}),
                      "pre_tokenizer: ByteLevel must be the last pre-tokenizer of a Sequence");
  expect_json_refused(first("x"), "pre_tokenizer: pretokenizers holds something that is not an");
  expect_refused("tokenizer.json",
                 with_split("a", "Glued"),
                 "pre_tokenizer: pretokenizers: behavior is \"Glued\"; allowed: Isolated, Removed, "
                 "MergedWithPrevious, MergedWithNext, Contiguous");
}

TEST(TokenizerFiles, PatternsThatMeanSomethingElseElsewhereAreRefused) {
  const auto refused = [](const std::string& pattern, const std::string& why) {
    expect_refused("tokenizer.json",
                   with_split(pattern),
                   "pre_tokenizer: pretokenizers: pattern \"" + pattern + "\": " + why);
  };
  refused("(a", "missing closing parenthesis");
  refused("\\h+", "the escape \\h is not supported; supported: \\s \\S \\d \\D");
  refused("\\w", "the escape \\w is not supported");
  refused("a\\", "the escape");
  refused("\\p{Han}", "only general categories such as \\p{L} or \\p{Lu} are supported");
  refused("\\p{", "only general categories");
  refused("[a[bc]]", "a class within a class is not supported");
  refused("^a", "^ and $ are not supported");
  refused("a{1,3}+", "a possessive interval is not supported");
}

TEST(TokenizerFiles, OtherPostProcessorsAreRefusedByName) {
  expect_json_refused(
      [](json& file) {
        file["post_processor"] = {{"type", "BertProcessing"}};
      },
      "post_processor: type is \"BertProcessing\"; supported: ByteLevel, "
      "TemplateProcessing, and a Sequence of these");
  const auto with_template = [](const std::function<void(json&)>& change) {
    return [change](json& file) { change(file["post_processor"]["processors"][1]); };
  };
  expect_json_refused(
      with_template(
          [](json& one) { one["single"].insert(one["single"].begin(), one["single"][0]); }),
      "post_processor: processors: single puts more than one token in front of the text");
  expect_json_refused(with_template([](json& one) { one["special_tokens"].clear(); }),
                      "post_processor: processors: special_tokens gives \"<|begin_of_text|>\" not "
                      "exactly one id from 0 to 2097151");
}

TEST(TokenizerFiles, AddedTokensAreChecked) {
  const auto with_token = [](const json& token) {
    return [token](json& file) { file["added_tokens"][0] = token; };
  };
  expect_json_refused(with_token({{"id", -4}, {"content", "x"}}),
                      "added_tokens: id is -4; allowed: 0 to 2097151");
  expect_json_refused(with_token({{"content", "x"}}), "added_tokens: id is missing");
  expect_json_refused(with_token({{"id", 1000}, {"content", ""}}),
                      "added_tokens: content is missing or empty");
  expect_json_refused(with_token({{"id", 1000}, {"content", "a"}}),
                      "added token \"a\" has id 1000 but the vocab gives it ");
}

TEST(TokenizerFiles, SentencepieceModelsMustBeWhole) {
  const std::string whole = sentencepiece_model();
  const std::string broken = "not a sentencepiece model, or truncated";
  expect_refused("tokenizer.model", "", "missing, not readable or empty");
  expect_refused("tokenizer.model", "hello", broken);
  expect_refused("tokenizer.model", whole.substr(0, whole.size() / 2), broken);
  expect_refused("tokenizer.model", whole.substr(0, whole.size() - 1), broken);
  // The first piece alone: <unk>, a whole message of 14 bytes behind its tag and length.
  expect_refused(
      "tokenizer.model", whole.substr(0, 2 + static_cast<std::size_t>(whole[1])), broken);
}

TEST(TokenizerFiles, ConfigChoosesTheBosOfSentencepiece) {
  TempFolder folder;
  folder.write("tokenizer.model", sentencepiece_model());
  EXPECT_EQ(load_tokenizer(folder.path())->bos(), 1);
  folder.write("tokenizer_config.json", R"({"add_bos_token": false})");
  EXPECT_EQ(load_tokenizer(folder.path())->bos(), std::nullopt);
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "</s>"}})");
  EXPECT_EQ(load_tokenizer(folder.path())->bos(), 2);
  folder.write("tokenizer_config.json", R"({"bos_token": "<none>"})");
  expect_throw<DataError>([&] { (void)load_tokenizer(folder.path()); },
                          "tokenizer_config.json: bos_token \"<none>\" is no token of the model");
  folder.write("tokenizer_config.json", R"({"add_bos_token": "yes"})");
  expect_throw<DataError>([&] { (void)load_tokenizer(folder.path()); },
                          "tokenizer_config.json: add_bos_token is \"yes\"; allowed: true, false");
}

TEST(TokenizerFiles, ConfigAndAddedTokensFileAddTokens) {
  TempFolder folder;
  folder.write("tokenizer.model", sentencepiece_model());
  folder.write("added_tokens.json", R"({"<pad>": 4096})");
  folder.write("tokenizer_config.json",
               R"({"added_tokens_decoder": {"4097": {"content": "<x>", "lstrip": true}}})");
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 4098);
  // "a" with the mark in front is 261; <x> takes the space before it along.
  EXPECT_EQ(tokenizer->encode("a<pad>a <x>"), (std::vector<std::int32_t>{261, 4096, 261, 4097}));
  EXPECT_EQ(tokenizer->decode({4096, 4097}), "<pad><x>");
  folder.write("added_tokens.json", R"({"<pad>": -1})");
  expect_throw<DataError>([&] { (void)load_tokenizer(folder.path()); },
                          "added_tokens.json: <pad> is -1; allowed: 0 to 2097151");
  folder.write("added_tokens.json", R"({"": 4096})");
  expect_throw<DataError>([&] { (void)load_tokenizer(folder.path()); },
                          "added_tokens.json: a token is empty");
  folder.write("added_tokens.json", "{}");
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"4x": {"content": "<x>"}}})");
  expect_throw<DataError>(
      [&] { (void)load_tokenizer(folder.path()); },
      "tokenizer_config.json: added_tokens_decoder: \"4x\" is not a token id; allowed: 0 to");
}

TEST(TokenizerFiles, WhatIsNoTextOrNoTokenIsRefused) {
  TempFolder folder;
  folder.write("tokenizer.json", llama3().dump());
  const auto bpe = load_tokenizer(folder.path());
  const auto pieces = load_tokenizer(find_asset("model/checkpoints/tiny-llama"));
  for (const Tokenizer* tokenizer : {bpe.get(), pieces.get()}) {
    const std::string last = std::to_string(tokenizer->vocab_size() - 1);
    expect_throw<DataError>([&] { (void)tokenizer->encode("ab\xFF"); },
                            "the text is not UTF-8: invalid at byte 2");
    expect_throw<InvalidArgument>([&] { (void)tokenizer->decode({-1}); },
                                  "token id -1; allowed: 0 to " + last);
    expect_throw<InvalidArgument>([&] { (void)tokenizer->decode({tokenizer->vocab_size()}); },
                                  "allowed: 0 to " + last);
  }
}

// There are more than 2^40 ways to cut 60 letters into ones and twos.
TEST(TokenizerFiles, APatternThatNeverEndsIsStopped) {
  TempFolder folder;
  folder.write("tokenizer.json", with_split("(?:(?:a|aa)+)+[bc]"));
  const auto tokenizer = load_tokenizer(folder.path());
  expect_throw<DataError>([&] { (void)tokenizer->encode(std::string(60, 'a')); },
                          "splitting the text into words failed at byte 0: match limit exceeded");
}

}  // namespace
}  // namespace kvg::model
