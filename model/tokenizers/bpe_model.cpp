#include "model/tokenizers/bpe_model.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>

#include "kernels/core/error.h"
#include "model/tokenizers/added_tokens.h"
#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

// GPT-2's spelling of bytes: printable ones stand for themselves, the others for the characters
// from U+0100 on, in order.
constexpr bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
         (byte >= 174 && byte <= 255);
}

constexpr std::int32_t kFirstStandIn = 256;
constexpr std::int32_t kStandIns = 68;

std::array<std::int32_t, 256> make_spelling() {
  std::array<std::int32_t, 256> spelling{};
  std::int32_t next = kFirstStandIn;
  for (int byte = 0; byte < 256; ++byte) {
    spelling[static_cast<std::size_t>(byte)] = stands_for_itself(byte) ? byte : next++;
  }
  return spelling;
}

// The byte that each character up to U+0143 stands for, -1 for none.
std::array<int, kFirstStandIn + kStandIns> make_reading() {
  std::array<int, kFirstStandIn + kStandIns> reading{};
  reading.fill(-1);
  const auto spelling = make_spelling();
  for (int byte = 0; byte < 256; ++byte) {
    const auto character = static_cast<std::size_t>(spelling[static_cast<std::size_t>(byte)]);
    reading[character] = byte;
  }
  return reading;
}

// Every stand-in lies in U+0021..U+0143: one or two bytes of UTF-8.
std::string utf8_of(std::int32_t character) {
  if (character < 0x80) {
    return {static_cast<char>(character)};
  }
  return {static_cast<char>(0xC0 | (character >> 6)), static_cast<char>(0x80 | (character & 0x3F))};
}

// The bytes that a spelling stands for; nullopt when it holds a character that is no byte's.
std::optional<std::string> bytes_of(const std::string& spelled) {
  static const auto kReading = make_reading();
  std::string bytes;
  for (std::size_t at = 0; at < spelled.size();) {
    const CodePoint c = code_point_at(spelled, at);
    const bool known = c.value < static_cast<std::int32_t>(kReading.size());
    const int byte = known ? kReading[static_cast<std::size_t>(c.value)] : -1;
    if (byte < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(byte));
    at += c.bytes;
  }
  return bytes;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(left) << 32U) | static_cast<std::uint64_t>(right);
}

void expect_absent(const JsonReader& json, std::string_view key) {
  const nlohmann::json* value = json.find(key);
  const bool off = value == nullptr || (value->is_string() && value->get<std::string>().empty()) ||
                   (value->is_number() && value->get<double>() == 0.0);
  if (!off) {
    json.refuse(std::string(key) + " is not supported");
  }
}

// "a b" or ["a", "b"].
std::optional<std::pair<std::string, std::string>> read_pair(const nlohmann::json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (!merge.is_string()) {
    return std::nullopt;
  }
  const auto& text = merge.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    return std::nullopt;
  }
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

}  // namespace

BpeModel::BpeModel(const JsonReader& json) {
  if (json.text("type", "BPE") != "BPE") {
    json.refuse("type is \"" + json.text("type", "") + "\"; supported: BPE");
  }
  for (const std::string_view key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    expect_absent(json, key);
  }
  read_vocab(json);
  read_merges(json);
  if (json.flag("ignore_merges", false)) {
    for (const auto& [spelled, id] : vocab_) {
      if (const auto bytes = bytes_of(spelled)) {
        whole_.emplace(*bytes, id);
      }
    }
  }
}

std::int32_t BpeModel::find(const std::string& spelled) const {
  const auto it = vocab_.find(spelled);
  return it == vocab_.end() ? -1 : it->second;
}

void BpeModel::read_vocab(const JsonReader& json) {
  const auto vocab = json.object("vocab");
  if (!vocab) {
    json.refuse("vocab is missing");
  }
  const nlohmann::json& entries = *json.find("vocab");
  std::vector<bool> taken;
  for (const auto& item : entries.items()) {
    const std::int32_t id =
        vocab->integer(item.key(), {.min = 0, .max = static_cast<double>(kLargestTokenId)});
    const auto index = static_cast<std::size_t>(id);
    if (index >= taken.size()) {
      taken.resize(index + 1);
      pieces_.resize(index + 1);
    }
    if (taken[index]) {
      vocab->refuse("id " + std::to_string(id) + " is given twice");
    }
    taken[index] = true;
    // A token with other characters can only be an added one: its spelling is its text.
    pieces_[index] = bytes_of(item.key()).value_or(item.key());
    vocab_.emplace(item.key(), id);
  }
  const auto spelling = make_spelling();
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = find(utf8_of(spelling[byte]));
    if (byte_ids_[byte] < 0) {
      vocab->refuse("there is no token for byte " + std::to_string(byte));
    }
  }
}

void BpeModel::read_merges(const JsonReader& json) {
  const nlohmann::json* merges = json.find("merges");
  if (merges == nullptr || !merges->is_array()) {
    json.refuse("merges is missing or not an array");
  }
  std::int32_t rank = 0;
  for (const nlohmann::json& merge : *merges) {
    const std::string nth = "merges: number " + std::to_string(rank);
    const auto pair = read_pair(merge);
    if (!pair) {
      json.refuse(nth + " is not a pair of tokens");
    }
    const std::int32_t left = find(pair->first);
    const std::int32_t right = find(pair->second);
    const std::int32_t whole = find(pair->first + pair->second);
    if (left < 0 || right < 0 || whole < 0) {
      json.refuse(nth + " names a token that is not in the vocab");
    }
    merges_.insert_or_assign(pair_key(left, right), Merge{rank, whole});
    ++rank;
  }
}

const BpeModel::Merge* BpeModel::merge_of(std::int32_t left, std::int32_t right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void BpeModel::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (!whole_.empty()) {
    const auto it = whole_.find(std::string(piece));
    if (it != whole_.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  merge_all(piece, ids);
}

void BpeModel::merge_all(std::string_view piece, std::vector<std::int32_t>& ids) const {
  struct Symbol {
    std::int32_t id = 0;  // -1 once it was merged into its left neighbour
    std::size_t previous = 0;
    std::size_t next = 0;
  };
  // Candidates by rank, then from the left. One that no longer fits its symbols is skipped when it
  // comes up, which keeps the whole at n log n.
  using Candidate = std::tuple<std::int32_t, std::size_t, std::int32_t>;  // rank, position, new id
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  std::vector<Symbol> symbols(piece.size());
  const std::size_t end = symbols.size();
  const auto offer = [&](std::size_t left) {
    const std::size_t right = left < end ? symbols[left].next : end;
    const Merge* merge = right < end ? merge_of(symbols[left].id, symbols[right].id) : nullptr;
    if (merge != nullptr) {
      queue.emplace(merge->rank, left, merge->id);
    }
  };
  for (std::size_t i = 0; i < end; ++i) {
    symbols[i] = {byte_ids_[static_cast<unsigned char>(piece[i])], i == 0 ? end : i - 1, i + 1};
  }
  for (std::size_t i = 0; i < end; ++i) {
    offer(i);
  }
  while (!queue.empty()) {
    const auto [rank, left, id] = queue.top();
    queue.pop();
    const std::size_t right = symbols[left].next;
    const bool alive = symbols[left].id >= 0 && right < end;
    const Merge* merge = alive ? merge_of(symbols[left].id, symbols[right].id) : nullptr;
    if (merge == nullptr || merge->rank != rank) {
      continue;
    }
    symbols[left].id = id;
    symbols[left].next = symbols[right].next;
    symbols[right].id = -1;
    if (symbols[left].next < end) {
      symbols[symbols[left].next].previous = left;
    }
    offer(symbols[left].previous);
    offer(left);
  }
  for (std::size_t i = 0; i < end; i = symbols[i].next) {
    ids.push_back(symbols[i].id);
  }
}

}  // namespace kvg::model
