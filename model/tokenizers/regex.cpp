#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizers/regex.h"

#include <array>
#include <optional>
#include <pcre2.h>
#include <string>
#include <utility>

#include "kernels/core/error.h"
#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

template <auto Free>
struct Release {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

using CodePtr = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using ContextPtr = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;
using MatchPtr = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using StackPtr = std::unique_ptr<pcre2_jit_stack, Release<pcre2_jit_stack_free>>;

constexpr std::uint32_t kMatchLimit = 50'000'000;
constexpr std::uint32_t kHeapLimitKib = 256 * 1024;
constexpr std::size_t kJitStackBytes = std::size_t{8} << 20U;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  std::string message;
  for (std::size_t i = 0; i < text.size() && text[i] != 0; ++i) {
    message.push_back(static_cast<char>(text[i]));
  }
  return message;
}

[[noreturn]] void refuse(std::string_view pattern, const std::string& why) {
  throw InvalidArgument("pattern \"" + std::string(pattern) + "\": " + why);
}

// Rewrites a pattern of Oniguruma's syntax where PCRE2 would read it otherwise, and refuses what
// differs and cannot be rewritten. \s is White_Space there; PCRE2's also holds U+180E.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      step();
    }
    return out_;
  }

 private:
  void step() {
    const char c = pattern_[at_];
    if (c == '\\') {
      escape();
      return;
    }
    if (in_class_ && (c == '[' || pattern_.substr(at_, 2) == "&&")) {
      refuse(pattern_, "a class within a class is not supported");
    }
    if (!in_class_ && (c == '^' || c == '$')) {
      refuse(pattern_, "^ and $ are not supported");
    }
    if (!in_class_ && c == '}' && pattern_.substr(at_ + 1, 1) == "+") {
      refuse(pattern_, "a possessive interval is not supported");
    }
    take_plain(c);
  }

  void take_plain(char c) {
    const bool opens = c == '[' && !in_class_;
    const bool closes = c == ']' && in_class_;
    in_class_ = (in_class_ || opens) && !closes;
    out_.push_back(c);
    ++at_;
    if (opens && pattern_.substr(at_, 1) == "^") {
      out_.push_back('^');
      ++at_;
    }
  }

  void escape() {
    const char c = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    if (c == 's' || c == 'S') {
      out_ += c == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
      at_ += 2;
      return;
    }
    if (c == 'p' || c == 'P') {
      property();
      return;
    }
    const bool punctuation =
        c > ' ' && c < '\x7f' && std::string_view("_").find(c) == kNone && !is_alphanumeric(c);
    if (!punctuation && std::string_view("dDrntfv").find(c) == kNone) {
      refuse(pattern_,
             std::string("the escape \\") + c +
                 " is not supported; supported: \\s \\S \\d \\D \\p{..} \\P{..} \\r \\n \\t \\f "
                 "\\v and escaped punctuation");
    }
    out_ += pattern_.substr(at_, 2);
    at_ += 2;
  }

  // Names of scripts mean script extensions in PCRE2 and scripts in Oniguruma: only general
  // categories are alike.
  void property() {
    const std::size_t end = pattern_.find('}', at_);
    const std::string_view name =
        end == kNone ? std::string_view() : pattern_.substr(at_, end + 1 - at_);
    const bool braced = name.size() >= 5 && name[2] == '{';
    const std::size_t letters = braced ? name.size() - 4 - (name[3] == '^' ? 1 : 0) : 0;
    if (letters < 1 || letters > 2) {
      refuse(pattern_, "only general categories such as \\p{L} or \\p{Lu} are supported");
    }
    out_ += name;
    at_ = end + 1;
  }

  static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }

  static constexpr std::size_t kNone = std::string_view::npos;

  std::string_view pattern_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

struct Regex::Code {
  CodePtr code;
  bool jit = false;
};

Regex::Regex(std::string_view pattern) {
  const std::string translated = Translator(pattern).run();
  int error = 0;
  PCRE2_SIZE offset = 0;
  CodePtr code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                             translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                             &error,
                             &offset,
                             nullptr));
  if (!code) {
    refuse(pattern, message_of(error));
  }
  // Without JIT (not built in, or no executable memory) the interpreter does the same, slower.
  const bool jit = pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE) == 0;
  code_ = std::make_shared<const Code>(Code{std::move(code), jit});
}

void Regex::each_match(std::string_view text, const Sink& sink) const {
  const ContextPtr context(pcre2_match_context_create(nullptr));
  const MatchPtr match(pcre2_match_data_create(1, nullptr));
  KVG_EXPECT(context && match, "no memory for a match");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const StackPtr stack(code_->jit && text.size() > 4096
                           ? pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr)
                           : nullptr);
  if (stack) {
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t from = 0;
  std::optional<std::size_t> last_end;
  while (from <= text.size()) {
    const int found = pcre2_match(code_->code.get(),
                                  subject,
                                  text.size(),
                                  from,
                                  PCRE2_NO_UTF_CHECK,
                                  match.get(),
                                  context.get());
    if (found == PCRE2_ERROR_NOMATCH) {
      return;
    }
    if (found < 0) {
      throw DataError("splitting the text into words failed at byte " + std::to_string(from) +
                      ": " + message_of(found));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    if (bounds[0] == bounds[1] && last_end == bounds[1]) {
      // An empty match right after a match does not count; the search goes on a character later.
      from += from < text.size() ? code_point_at(text, from).bytes : 1;
      continue;
    }
    sink(bounds[0], bounds[1]);
    from = bounds[1];
    last_end = from;
  }
}

}  // namespace kvg::model
