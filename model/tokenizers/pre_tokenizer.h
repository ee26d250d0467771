#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "model/json_reader.h"

namespace kvg::model {

/// Receives the pieces of a text in order; each lives only during the call.
using PieceSink = std::function<void(std::string_view)>;

/// Cuts a text into the pieces that BPE works on one by one. Immutable.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;
  virtual ~PreTokenizer() = default;

  /// `text` is valid UTF-8. Empty pieces are left out.
  virtual void split(std::string_view text, const PieceSink& sink) const = 0;
};

/// Whether tokenizer.json's `pre_tokenizer` is ByteLevel or a Sequence that holds one. `where`
/// begins the messages.
[[nodiscard]] bool is_byte_level(const JsonReader& json, const std::string& where);

/// Reads tokenizer.json's `pre_tokenizer`: ByteLevel, Split, Digits, or a Sequence of them that
/// ends in ByteLevel. Throws DataError naming what is not supported and what is.
[[nodiscard]] std::unique_ptr<PreTokenizer> read_pre_tokenizer(const JsonReader& json,
                                                               const std::string& where);

}  // namespace kvg::model
