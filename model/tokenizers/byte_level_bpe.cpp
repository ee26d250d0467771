#include "model/tokenizers/byte_level_bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "kernels/core/error.h"
#include "model/tokenizers/added_tokens.h"
#include "model/tokenizers/bpe_model.h"
#include "model/tokenizers/pre_tokenizer.h"
#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

// Ids of words met before, for one text. Bounded, so that a hostile text cannot grow it for ever.
class WordCache {
 public:
  explicit WordCache(const BpeModel& model) : model_(model) {}

  void encode(std::string_view word, std::vector<std::int32_t>& ids) {
    constexpr std::size_t kLongestWord = 64;
    constexpr std::size_t kMostWords = 1U << 16U;
    if (word.size() > kLongestWord) {
      model_.encode(word, ids);
      return;
    }
    key_.assign(word);
    const auto it = words_.find(key_);
    if (it != words_.end()) {
      ids.insert(ids.end(), it->second.begin(), it->second.end());
      return;
    }
    const std::size_t before = ids.size();
    model_.encode(word, ids);
    if (words_.size() < kMostWords) {
      const auto first = ids.begin() + static_cast<std::ptrdiff_t>(before);
      words_.emplace(key_, std::vector<std::int32_t>(first, ids.end()));
    }
  }

 private:
  const BpeModel& model_;
  std::unordered_map<std::string, std::vector<std::int32_t>> words_;
  std::string key_;
};

struct Parts {
  BpeModel model;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  bool nfc = false;
  std::optional<std::int32_t> bos;
  std::vector<AddedToken> added{};
};

class ByteLevelBpe final : public Tokenizer {
 public:
  explicit ByteLevelBpe(Parts parts)
      : model_(std::move(parts.model)),
        pre_tokenizer_(std::move(parts.pre_tokenizer)),
        nfc_(parts.nfc),
        bos_(parts.bos),
        pieces_(model_.pieces()) {
    std::vector<AddedToken> raw;
    std::vector<AddedToken> normalized;
    for (AddedToken& token : parts.added) {
      const auto index = static_cast<std::size_t>(token.id);
      pieces_.resize(std::max(pieces_.size(), index + 1));
      pieces_[index] = token.content;
      if (token.normalized) {
        token.content = normalize(token.content);
      }
      (token.normalized ? normalized : raw).push_back(std::move(token));
    }
    raw_ = AddedTokens(std::move(raw));
    normalized_ = AddedTokens(std::move(normalized));
  }

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    expect_utf8(text);
    std::vector<std::int32_t> ids;
    WordCache words(model_);
    const auto on_token = [&](std::int32_t id) { ids.push_back(id); };
    const auto on_word = [&](std::string_view word) { words.encode(word, ids); };
    const auto on_text = [&](std::string_view piece) { pre_tokenizer_->split(piece, on_word); };
    const auto on_stretch = [&](std::string_view stretch) {
      if (nfc_) {
        normalized_.split(nfc(stretch), on_text, on_token);
      } else {
        normalized_.split(stretch, on_text, on_token);
      }
    };
    raw_.split(text, on_stretch, on_token);
    return ids;
  }

  [[nodiscard]] std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) {
        throw InvalidArgument("token id " + std::to_string(id) + "; allowed: 0 to " +
                              std::to_string(vocab_size() - 1));
      }
      text += pieces_[static_cast<std::size_t>(id)];
    }
    return text;
  }

  [[nodiscard]] int vocab_size() const override { return static_cast<int>(pieces_.size()); }
  [[nodiscard]] std::optional<std::int32_t> bos() const override { return bos_; }

 private:
  [[nodiscard]] std::string normalize(const std::string& text) const {
    return nfc_ ? nfc(text) : text;
  }

  BpeModel model_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  bool nfc_ = false;
  std::optional<std::int32_t> bos_;
  std::vector<std::string> pieces_;  // [largest id + 1]: bytes, added tokens included
  AddedTokens raw_;
  AddedTokens normalized_;
};

// Runs `read` on an object with "type", or on each one in its Sequence.
template <typename Read>
void each_of(const JsonReader& json,
             std::string_view list_key,
             const std::string& where,
             const Read& read) {
  if (json.text("type", "") != "Sequence") {
    read(json);
    return;
  }
  const nlohmann::json* list = json.find(list_key);
  if (list == nullptr || !list->is_array()) {
    json.refuse(std::string(list_key) + " is not an array");
  }
  for (const nlohmann::json& item : *list) {
    if (!item.is_object()) {
      json.refuse(std::string(list_key) + " holds something that is not an object");
    }
    read(JsonReader(item, where + ": " + std::string(list_key)));
  }
}

bool read_nfc(const JsonReader& json, const std::string& where) {
  const auto normalizer = json.object("normalizer");
  bool nfc = false;
  if (normalizer) {
    each_of(*normalizer, "normalizers", where + ": normalizer", [&](const JsonReader& one) {
      if (one.text("type", "") != "NFC") {
        one.refuse("type is \"" + one.text("type", "") + "\"; supported: NFC, none");
      }
      nfc = true;
    });
  }
  return nfc;
}

// The id of the one token that a template puts in front of the text.
std::optional<std::int32_t> read_template(const JsonReader& json, const std::string& where) {
  const nlohmann::json* single = json.find("single");
  if (single == nullptr || !single->is_array()) {
    json.refuse("single is not an array");
  }
  std::optional<std::string> name;
  for (const nlohmann::json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      break;
    }
    if (name || !item.is_object() || !item.contains("SpecialToken") ||
        !item["SpecialToken"].is_object()) {
      json.refuse("single puts more than one token in front of the text; supported: one or none");
    }
    name = JsonReader(item["SpecialToken"], where + ": single").text("id", "");
  }
  if (!name) {
    return std::nullopt;
  }
  const auto tokens = json.object("special_tokens");
  const auto token = tokens ? tokens->object(*name) : std::nullopt;
  const nlohmann::json* ids = token ? token->find("ids") : nullptr;
  if (ids == nullptr || !ids->is_array() || ids->size() != 1 || !(*ids)[0].is_number_integer() ||
      (*ids)[0] < 0 || (*ids)[0] > kLargestTokenId) {
    json.refuse("special_tokens gives \"" + *name + "\" not exactly one id from 0 to " +
                std::to_string(kLargestTokenId));
  }
  return (*ids)[0].get<std::int32_t>();
}

std::optional<std::int32_t> read_bos(const JsonReader& json, const std::string& where) {
  std::optional<std::int32_t> bos;
  const auto processor = json.object("post_processor");
  if (!processor) {
    return bos;
  }
  each_of(*processor, "processors", where + ": post_processor", [&](const JsonReader& one) {
    const std::string type = one.text("type", "");
    if (type == "ByteLevel") {
      return;  // changes offsets, not ids
    }
    if (type != "TemplateProcessing") {
      one.refuse("type is \"" + type +
                 "\"; supported: ByteLevel, TemplateProcessing, and a Sequence of these");
    }
    const auto front = read_template(one, where + ": post_processor");
    if (front && bos) {
      one.refuse("two templates put a token in front of the text; supported: one");
    }
    bos = front ? front : bos;
  });
  return bos;
}

std::vector<AddedToken> read_added(const JsonReader& json,
                                   const JsonReader& config,
                                   const BpeModel& model,
                                   const std::string& where) {
  std::vector<AddedToken> tokens;
  const nlohmann::json* list = json.find("added_tokens");
  if (list != nullptr && !list->is_array()) {
    json.refuse("added_tokens is not an array");
  }
  for (const nlohmann::json& item : list != nullptr ? *list : nlohmann::json::array()) {
    if (!item.is_object()) {
      json.refuse("added_tokens holds something that is not an object");
    }
    const JsonReader reader(item, where + ": added_tokens");
    const int id = reader.integer("id", {.min = 0, .max = static_cast<double>(kLargestTokenId)});
    tokens.push_back(read_added_token(reader, id));
  }
  for (AddedToken& token : read_added_tokens_decoder(config)) {
    tokens.push_back(std::move(token));
  }
  for (const AddedToken& token : tokens) {
    const std::int32_t known = model.find(token.content);
    if (known >= 0 && known != token.id) {
      json.refuse("added token \"" + token.content + "\" has id " + std::to_string(token.id) +
                  " but the vocab gives it " + std::to_string(known));
    }
  }
  return tokens;
}

}  // namespace

bool is_byte_level_bpe(const JsonReader& json, const std::string& where) {
  const auto model = json.object("model");
  const auto pre_tokenizer = json.object("pre_tokenizer");
  return model && model->text("type", "BPE") == "BPE" && pre_tokenizer &&
         is_byte_level(*pre_tokenizer, where + ": pre_tokenizer");
}

std::unique_ptr<Tokenizer> read_byte_level_bpe(const JsonReader& json,
                                               const JsonReader& config,
                                               const std::string& where) {
  const auto model = json.object("model");
  const auto pre_tokenizer = json.object("pre_tokenizer");
  if (!model || !pre_tokenizer) {
    json.refuse("model or pre_tokenizer is missing");
  }
  Parts parts{.model = BpeModel(*model),
              .pre_tokenizer = read_pre_tokenizer(*pre_tokenizer, where + ": pre_tokenizer"),
              .nfc = read_nfc(json, where),
              .bos = read_bos(json, where)};
  parts.added = read_added(json, config, parts.model, where);
  return std::make_unique<ByteLevelBpe>(std::move(parts));
}

}  // namespace kvg::model
