#include "model/tokenizers/sentencepiece.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sentencepiece_processor.h>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "model/tokenizers/added_tokens.h"
#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

using sentencepiece::SentencePieceProcessor;

enum class Prefix { kEveryStretch, kFirstStretch, kNever };

// Of a serialised model, `normalizer_spec { add_dummy_prefix: false }`: appended to one it
// overrides that field alone, as Protocol Buffers merge a message that comes twice.
constexpr std::string_view kWithoutDummyPrefix("\x1A\x02\x18\x00", 4);

// U+2581, which stands for the space inside pieces.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// Reads one base-128 number of a serialised message; nullopt where it is cut off.
std::optional<std::uint64_t> read_varint(std::string_view bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80U) {
      return value;
    }
  }
  return std::nullopt;
}

// Whether a serialised model goes on to its trainer_spec and normalizer_spec. They follow the
// pieces; without them, as in a file cut off between two pieces, the library would read the pieces
// as another kind of model and say nothing.
bool is_complete(std::string_view bytes) {
  constexpr std::uint64_t kTrainerSpec = 2;
  constexpr std::uint64_t kNormalizerSpec = 3;
  constexpr std::uint64_t kLengthDelimited = 2;
  bool trainer = false;
  bool normalizer = false;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto tag = read_varint(bytes, at);
    const auto length = read_varint(bytes, at);
    if (!tag || !length || *tag % 8 != kLengthDelimited || *length > bytes.size() - at) {
      return false;
    }
    trainer = trainer || *tag / 8 == kTrainerSpec;
    normalizer = normalizer || *tag / 8 == kNormalizerSpec;
    at += static_cast<std::size_t>(*length);
  }
  return trainer && normalizer;
}

std::unique_ptr<SentencePieceProcessor> load(const std::filesystem::path& file,
                                             const std::string& serialized) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  if (!is_complete(serialized) || !processor->LoadFromSerializedProto(serialized).ok() ||
      processor->GetPieceSize() <= 0) {
    throw DataError(file.string() + ": not a sentencepiece model, or truncated");
  }
  return processor;
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in || bytes.empty()) {
    throw DataError(file.string() + ": missing, not readable or empty");
  }
  return bytes;
}

struct Parts {
  std::unique_ptr<SentencePieceProcessor> prefixed;
  std::unique_ptr<SentencePieceProcessor> bare;  // null when every stretch is prefixed
  Prefix prefix = Prefix::kEveryStretch;
  std::vector<AddedToken> added;
  std::optional<std::int32_t> bos;
};

class SentencePiece final : public Tokenizer {
 public:
  explicit SentencePiece(Parts parts)
      : prefixed_(std::move(parts.prefixed)),
        bare_(std::move(parts.bare)),
        prefix_(parts.prefix),
        bos_(parts.bos),
        vocab_size_(prefixed_->GetPieceSize()) {
    for (const AddedToken& token : parts.added) {
      vocab_size_ = std::max(vocab_size_, token.id + 1);
      added_text_[token.id] = token.content;
    }
    added_ = AddedTokens(std::move(parts.added));
  }

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    expect_utf8(text);
    std::vector<std::int32_t> ids;
    added_.split(
        text,
        [&](std::string_view stretch) {
          const bool first = stretch.data() == text.data();
          append(takes_prefix(stretch, first) ? *prefixed_ : *bare_, stretch, ids);
        },
        [&](std::int32_t id) { ids.push_back(id); });
    return ids;
  }

  [[nodiscard]] std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    std::vector<int> run;
    const auto flush = [&] {
      text += prefixed_->DecodeIds(run);
      run.clear();
    };
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size_) {
        throw InvalidArgument("token id " + std::to_string(id) + "; allowed: 0 to " +
                              std::to_string(vocab_size_ - 1));
      }
      const auto added = added_text_.find(id);
      if (added != added_text_.end()) {
        flush();
        text += added->second;
      } else if (id < prefixed_->GetPieceSize()) {
        run.push_back(id);
      }
    }
    flush();
    return text;
  }

  [[nodiscard]] int vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::optional<std::int32_t> bos() const override { return bos_; }

 private:
  [[nodiscard]] bool takes_prefix(std::string_view stretch, bool first) const {
    const bool spaced =
        stretch.front() == ' ' || stretch.substr(0, kSpaceMark.size()) == kSpaceMark;
    return prefix_ == Prefix::kEveryStretch ||
           (prefix_ == Prefix::kFirstStretch && first && !spaced);
  }

  static void append(const SentencePieceProcessor& processor,
                     std::string_view stretch,
                     std::vector<std::int32_t>& ids) {
    std::vector<int> pieces;
    const auto status = processor.Encode(stretch, &pieces);
    if (!status.ok()) {
      throw DataError("sentencepiece failed: " + status.ToString());
    }
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  std::unique_ptr<SentencePieceProcessor> prefixed_;
  std::unique_ptr<SentencePieceProcessor> bare_;
  Prefix prefix_;
  std::optional<std::int32_t> bos_;
  int vocab_size_ = 0;
  std::map<std::int32_t, std::string> added_text_;
  AddedTokens added_;
};

std::vector<AddedToken> read_added(const SentencePieceProcessor& processor,
                                   const JsonReader& config,
                                   const JsonReader& added,
                                   const nlohmann::json& added_json) {
  std::vector<AddedToken> tokens;
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const bool special = processor.IsControl(id) || processor.IsUnknown(id);
    if (special && !processor.IdToPiece(id).empty()) {
      tokens.push_back({.id = id, .content = processor.IdToPiece(id)});
    }
  }
  for (const auto& item : added_json.items()) {
    const std::string& content = item.key();
    const int id = added.integer(content, {.min = 0, .max = static_cast<double>(kLargestTokenId)});
    if (content.empty()) {
      added.refuse("a token is empty");
    }
    tokens.push_back({.id = id, .content = content});
  }
  for (AddedToken& token : read_added_tokens_decoder(config)) {
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// A token that tokenizer_config.json gives as text or as an object with "content".
std::string read_token_text(const JsonReader& config, std::string_view key) {
  const nlohmann::json* value = config.find(key);
  if (value != nullptr && value->is_object()) {
    return config.object(key)->text("content", "");
  }
  return config.text(key, "");
}

std::optional<std::int32_t> read_bos(const Parts& parts, const JsonReader& config) {
  if (!config.flag("add_bos_token", true)) {
    return std::nullopt;
  }
  const std::string text = read_token_text(config, "bos_token");
  if (text.empty()) {
    const int id = parts.prefixed->bos_id();
    return id >= 0 ? std::optional<std::int32_t>(id) : std::nullopt;
  }
  for (const AddedToken& token : parts.added) {
    if (token.content == text) {
      return token.id;
    }
  }
  const int id = parts.prefixed->PieceToId(text);
  if (parts.prefixed->IsUnknown(id)) {
    config.refuse("bos_token \"" + text + "\" is no token of the model");
  }
  return id;
}

}  // namespace

std::unique_ptr<Tokenizer> read_sentencepiece(const std::filesystem::path& file,
                                              const JsonReader& config,
                                              const nlohmann::json& added) {
  const std::string serialized = read_file(file);
  Parts parts;
  parts.prefixed = load(file, serialized);
  if (!config.flag("add_prefix_space", true)) {
    parts.prefix = Prefix::kNever;
  } else if (!config.flag("legacy", true)) {
    parts.prefix = Prefix::kFirstStretch;
  }
  if (parts.prefix != Prefix::kEveryStretch) {
    parts.bare = load(file, serialized + std::string(kWithoutDummyPrefix));
  }
  const JsonReader added_reader(added, (file.parent_path() / "added_tokens.json").string());
  parts.added = read_added(*parts.prefixed, config, added_reader, added);
  parts.bos = read_bos(parts, config);
  return std::make_unique<SentencePiece>(std::move(parts));
}

}  // namespace kvg::model
