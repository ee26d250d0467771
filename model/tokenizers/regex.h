#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

namespace kvg::model {

/// A regular expression of a pre-tokenizer (Oniguruma's syntax, as Hugging Face tokenizers use it),
/// with full Unicode classes. Immutable; may be used by several threads.
class Regex {
 public:
  using Sink = std::function<void(std::size_t begin, std::size_t end)>;

  /// Throws InvalidArgument for a pattern that is broken or holds what is not supported: what it is
  /// and what is.
  explicit Regex(std::string_view pattern);

  /// Hands over every match in valid UTF-8 `text`, leftmost first, none overlapping; empty
  /// ones count except right after another. Throws DataError when the search needs more than a
  /// bounded number of steps.
  void each_match(std::string_view text, const Sink& sink) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;  ///< shared: compiled once, read by all copies
};

}  // namespace kvg::model
