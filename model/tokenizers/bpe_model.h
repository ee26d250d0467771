#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/json_reader.h"

namespace kvg::model {

/// The vocabulary and the merges of byte-level BPE. Immutable.
class BpeModel {
 public:
  /// Reads tokenizer.json's `model`. Throws DataError naming the file, the key
  /// and the entry: not BPE, an option that is not supported, an id out of range or given twice, a
  /// byte without a token, a merge of or into an unknown token.
  explicit BpeModel(const JsonReader& json);

  /// Appends the ids of one piece of text: the merges applied in the order of their rank. Takes
  /// n log n steps for n bytes.
  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const;

  /// Bytes of each id; empty where there is no token.
  [[nodiscard]] const std::vector<std::string>& pieces() const { return pieces_; }

  /// The id of a token as the file spells it (bytes as characters), -1 when there is none.
  [[nodiscard]] std::int32_t find(const std::string& spelled) const;

 private:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };

  void read_vocab(const JsonReader& json);
  void read_merges(const JsonReader& json);
  void merge_all(std::string_view piece, std::vector<std::int32_t>& ids) const;
  [[nodiscard]] const Merge* merge_of(std::int32_t left, std::int32_t right) const;

  std::unordered_map<std::string, std::int32_t> vocab_;  ///< by spelling
  std::vector<std::string> pieces_;                      ///< [largest id + 1]
  std::array<std::int32_t, 256> byte_ids_{};
  std::unordered_map<std::uint64_t, Merge> merges_;      ///< by left and right id
  std::unordered_map<std::string, std::int32_t> whole_;  ///< by bytes; with ignore_merges only
};

}  // namespace kvg::model
