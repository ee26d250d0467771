#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// Ids that are fed from an empty cache, and the first of them that is scored.
struct Window {
  std::vector<std::int32_t> ids;
  std::int32_t first_scored = 1;
};

/// What the ids of a text are cut into.
struct Cutting {
  std::optional<std::int32_t> bos;  ///< that the tokenizer puts in front of a text
  std::int32_t max_tokens = 0;      ///< of a window, the BOS included
  std::int32_t stride = 0;          ///< of a convention that has one
  std::size_t most = 0;             ///< windows
};

/// One row of the table of conventions: how perplexity is measured over a text.
struct ConventionInfo {
  std::string_view name;
  std::string_view form;  ///< how it is written: "gptq-N"
  std::string_view summary;
  bool whole_text = true;           ///< all windows, unless fewer are asked for
  bool names_window = false;        ///< its N is max_tokens
  std::int32_t default_stride = 0;  ///< above 0: its N is the stride, and may be left out
  std::vector<Window> (*cut)(std::span<const std::int32_t> ids, const Cutting& cutting) = nullptr;
};

/// Every convention, the default one first.
[[nodiscard]] std::span<const ConventionInfo> conventions();

/// A convention as it was chosen.
struct Convention {
  std::string text;  ///< as written
  const ConventionInfo* info = nullptr;
  std::int32_t window = 0;  ///< 0: of --max-tokens
  std::int32_t stride = 0;
};

/// "gptq-2048", "llama.cpp-512", "stride", "stride-256", "stream". Throws InvalidArgument naming
/// what exists.
[[nodiscard]] Convention parse_convention(std::string_view text);

}  // namespace kvg::datasets
