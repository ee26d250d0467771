#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/json_reader.h"

namespace kvg::model {

/// Larger ids than this are refused as absurd.
inline constexpr std::int32_t kLargestTokenId = (1 << 21) - 1;

/// A token that is found in the text before anything else happens to it.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< looked for in the normalised text
};

/// Reads the flags and the content of one token as tokenizer.json and tokenizer_config.json spell
/// it; throws DataError naming the file and the key.
[[nodiscard]] AddedToken read_added_token(const JsonReader& json, std::int32_t id);

/// The tokens of tokenizer_config.json's `added_tokens_decoder`; none when the key is absent.
[[nodiscard]] std::vector<AddedToken> read_added_tokens_decoder(const JsonReader& config);

/// A set of added tokens and the search for them.
class AddedTokens {
 public:
  using TextSink = std::function<void(std::string_view)>;
  using TokenSink = std::function<void(std::int32_t)>;

  AddedTokens() = default;
  /// Of two tokens with the same content the later one counts.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  [[nodiscard]] bool empty() const { return tokens_.empty(); }

  /// Cuts `text` at its added tokens, the leftmost and there the longest first, and hands stretches
  /// without any and token ids over in order. Empty stretches are left out.
  void split(std::string_view text, const TextSink& on_text, const TokenSink& on_token) const;

 private:
  [[nodiscard]] const AddedToken* longest_at(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;  ///< sorted by content
  std::array<bool, 256> begins_{};  ///< whether a token begins with the byte
};

}  // namespace kvg::model
