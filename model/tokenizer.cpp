#include "model/tokenizer.h"

#include <nlohmann/json.hpp>

#include "kernels/core/error.h"
#include "model/json_reader.h"
#include "model/tokenizers/byte_level_bpe.h"
#include "model/tokenizers/sentencepiece.h"

namespace kvg::model {
namespace {

nlohmann::json read_if_there(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? read_json_object(file) : nlohmann::json::object();
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const std::filesystem::path json_file = folder / "tokenizer.json";
  const std::filesystem::path model_file = folder / "tokenizer.model";
  const std::filesystem::path config_file = folder / "tokenizer_config.json";
  const bool has_json = std::filesystem::exists(json_file);
  const bool has_model = std::filesystem::exists(model_file);
  if (!has_json && !has_model) {
    throw DataError(folder.string() + ": neither tokenizer.json nor tokenizer.model is there");
  }
  const nlohmann::json config = read_if_there(config_file);
  const JsonReader config_reader(config, config_file.string());
  if (has_json) {
    const nlohmann::json json = read_json_object(json_file);
    const JsonReader reader(json, json_file.string());
    if (is_byte_level_bpe(reader, json_file.string())) {
      return read_byte_level_bpe(reader, config_reader, json_file.string());
    }
    if (!has_model) {
      reader.refuse(
          "not byte-level BPE (model BPE, pre_tokenizer ByteLevel); supported: that, or a "
          "tokenizer.model beside it");
    }
  }
  const nlohmann::json added = read_if_there(folder / "added_tokens.json");
  return read_sentencepiece(model_file, config_reader, added);
}

}  // namespace kvg::model
