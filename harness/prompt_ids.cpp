#include "harness/prompt_ids.h"

#include <algorithm>

namespace kvg::harness {

std::vector<std::int32_t> encode_prompt(const model::Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (tokenizer.bos()) {
    ids.insert(ids.begin(), *tokenizer.bos());
  }
  return ids;
}

std::size_t shared_tokens(const std::vector<std::int32_t>& one,
                          const std::vector<std::int32_t>& other) {
  return static_cast<std::size_t>(std::ranges::mismatch(one, other).in1 - one.begin());
}

}  // namespace kvg::harness
