#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "model/json_reader.h"
#include "model/tokenizer.h"

namespace kvg::model {

/// Whether the contents of a tokenizer.json are BPE over bytes. `where` begins the messages.
[[nodiscard]] bool is_byte_level_bpe(const JsonReader& json, const std::string& where);

/// Makes the tokenizer of a tokenizer.json; `config` is the tokenizer_config.json beside it, or an
/// empty object. Supported: normalizer none or NFC; pre_tokenizer as read_pre_tokenizer() takes it;
/// model BPE; post_processor none, ByteLevel, TemplateProcessing with at most one token in front of
/// the text (the BOS), or a Sequence of these. A token that the template puts behind the text is
/// left out: the stretches that are measured do not end where the text does. Throws DataError.
[[nodiscard]] std::unique_ptr<Tokenizer> read_byte_level_bpe(const JsonReader& json,
                                                             const JsonReader& config,
                                                             const std::string& where);

}  // namespace kvg::model
