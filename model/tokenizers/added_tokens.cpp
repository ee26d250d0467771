#include "model/tokenizers/added_tokens.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin > 0 && is_word_character(code_point_before(text, begin))) ||
         (end < text.size() && is_word_character(code_point_at(text, end).value));
}

// Where the white space that ends at `end` begins.
std::size_t white_space_before(std::string_view text, std::size_t end) {
  while (end > 0 && is_white_space(code_point_before(text, end))) {
    do {
      --end;
    } while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U);
  }
  return end;
}

std::size_t white_space_after(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const CodePoint next = code_point_at(text, begin);
    if (!is_white_space(next.value)) {
      break;
    }
    begin += next.bytes;
  }
  return begin;
}

}  // namespace

AddedToken read_added_token(const JsonReader& json, std::int32_t id) {
  AddedToken token{.id = id, .content = json.text("content", "")};
  if (token.content.empty()) {
    json.refuse("content is missing or empty");
  }
  token.single_word = json.flag("single_word", false);
  token.lstrip = json.flag("lstrip", false);
  token.rstrip = json.flag("rstrip", false);
  token.normalized = json.flag("normalized", !json.flag("special", false));
  return token;
}

std::vector<AddedToken> read_added_tokens_decoder(const JsonReader& config) {
  std::vector<AddedToken> tokens;
  const auto decoder = config.object("added_tokens_decoder");
  if (!decoder) {
    return tokens;
  }
  for (const auto& item : config.find("added_tokens_decoder")->items()) {
    const std::string& key = item.key();
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kLargestTokenId) {
      decoder->refuse("\"" + key + "\" is not a token id; allowed: 0 to " +
                      std::to_string(kLargestTokenId));
    }
    const auto token = decoder->object(key);
    if (!token) {
      decoder->refuse(key + " is null");
    }
    tokens.push_back(read_added_token(*token, id));
  }
  return tokens;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  // Reversed and stable, so that of equal contents the one given last comes first and stays.
  std::reverse(tokens_.begin(), tokens_.end());
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content < b.content;
  });
  const auto same = [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
  for (const AddedToken& token : tokens_) {
    begins_[static_cast<unsigned char>(token.content.front())] = true;
  }
}

// Narrows the sorted tokens byte by byte, so that many tokens with a common beginning cost no more
// than a few.
const AddedToken* AddedTokens::longest_at(std::string_view text, std::size_t at) const {
  const AddedToken* longest = nullptr;
  auto first = tokens_.begin();
  auto last = tokens_.end();
  for (std::size_t depth = 0; at + depth < text.size() && first != last; ++depth) {
    const auto byte = static_cast<unsigned char>(text[at + depth]);
    const auto key = [depth](const AddedToken& token) {
      return static_cast<unsigned char>(token.content[depth]);
    };
    first = std::lower_bound(
        first, last, byte, [&](const AddedToken& t, unsigned char b) { return key(t) < b; });
    last = std::upper_bound(
        first, last, byte, [&](unsigned char b, const AddedToken& t) { return b < key(t); });
    // The shortest sorts first: at most it ends here (contents differ).
    if (first != last && first->content.size() == depth + 1) {
      longest = &*first;
      ++first;
    }
  }
  return longest;
}

void AddedTokens::split(std::string_view text,
                        const TextSink& on_text,
                        const TokenSink& on_token) const {
  std::size_t done = 0;
  std::size_t at = tokens_.empty() ? text.size() : 0;
  while (at < text.size()) {
    const AddedToken* token =
        begins_[static_cast<unsigned char>(text[at])] ? longest_at(text, at) : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + token->content.size();
    at = end;
    if (token->single_word && touches_word(text, begin, end)) {
      continue;
    }
    if (token->lstrip) {
      begin = std::max(white_space_before(text, begin), done);
    }
    if (token->rstrip) {
      end = white_space_after(text, end);
    }
    if (done < begin) {
      on_text(text.substr(done, begin - done));
    }
    on_token(token->id);
    done = end;
  }
  if (done < text.size()) {
    on_text(text.substr(done));
  }
}

}  // namespace kvg::model
