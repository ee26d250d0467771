#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace kvg::harness {

/// Ids of a prompt, after the BOS where the tokenizer puts one.
[[nodiscard]] std::vector<std::int32_t> encode_prompt(const model::Tokenizer& tokenizer,
                                                      std::string_view text);

/// How many ids both begin with.
[[nodiscard]] std::size_t shared_tokens(const std::vector<std::int32_t>& one,
                                        const std::vector<std::int32_t>& other);

}  // namespace kvg::harness
