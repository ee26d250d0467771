#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "model/json_reader.h"
#include "model/tokenizer.h"

namespace kvg::model {

/// Makes the tokenizer of a tokenizer.model, as Hugging Face's Llama tokenizer uses it. `config` is
/// tokenizer_config.json and `added` added_tokens.json beside it, or empty objects:
///  - control and unknown pieces, and the tokens that the two files add, are split out first;
///  - `legacy` (default true): every stretch between them gets sentencepiece's space in front; when
///    false only the text's first does, and only if it does not begin with a space;
///  - `add_bos_token` (default true) and `bos_token` (default: the model's own) give the BOS.
/// Throws DataError naming the file and what is wrong.
[[nodiscard]] std::unique_ptr<Tokenizer> read_sentencepiece(const std::filesystem::path& file,
                                                            const JsonReader& config,
                                                            const nlohmann::json& added);

}  // namespace kvg::model
