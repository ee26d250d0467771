#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::model {

/// Text to token ids, exactly as the Hugging Face tokenizer of the checkpoint does it.
class Tokenizer {
 public:
  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  virtual ~Tokenizer() = default;

  /// Ids of `text` (UTF-8) without a BOS. Added tokens in the text become their ids.
  /// Throws DataError naming the byte when the text is not UTF-8.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// The bytes that the ids stand for, which need not be valid UTF-8. Throws InvalidArgument for an
  /// id outside [0, vocab_size()).
  [[nodiscard]] virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  /// The largest id + 1, added tokens included.
  [[nodiscard]] virtual int vocab_size() const = 0;
  /// The BOS that the Hugging Face tokenizer puts in front; nullopt when it puts none.
  [[nodiscard]] virtual std::optional<std::int32_t> bos() const = 0;
};

/// Loads a folder's tokenizer.json when it is byte-level BPE, else its tokenizer.model
/// (sentencepiece); tokenizer_config.json and added_tokens.json beside them are heeded. Throws
/// DataError naming the file and what is wrong or unsupported.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace kvg::model
