#include "model/tokenizers/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "model/tokenizers/regex.h"
#include "model/tokenizers/unicode.h"

namespace kvg::model {
namespace {

// The words of GPT-2, which ByteLevel cuts at when use_regex is set.
constexpr std::string_view kByteLevelPattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(const JsonReader& json)
      : add_prefix_space_(json.flag("add_prefix_space", true)) {
    if (json.flag("use_regex", true)) {
      regex_.emplace(kByteLevelPattern);
    }
  }

  void split(std::string_view text, const PieceSink& sink) const override {
    if (add_prefix_space_ && !text.empty() && text.front() != ' ') {
      std::string prefixed(1, ' ');
      prefixed += text;
      cut(prefixed, sink);
      return;
    }
    cut(text, sink);
  }

 private:
  void cut(std::string_view text, const PieceSink& sink) const {
    if (!regex_) {
      sink(text);
      return;
    }
    // The pattern covers every character, so the matches are the pieces.
    regex_->each_match(
        text, [&](std::size_t begin, std::size_t end) { sink(text.substr(begin, end - begin)); });
  }

  bool add_prefix_space_ = false;
  std::optional<Regex> regex_;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(const JsonReader& json) : individual_(json.flag("individual_digits", false)) {}

  void split(std::string_view text, const PieceSink& sink) const override {
    std::size_t begin = 0;
    bool in_digits = false;
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = code_point_at(text, at);
      const bool digit = is_numeric(c.value);
      if (at > begin && (digit != in_digits || (digit && individual_))) {
        sink(text.substr(begin, at - begin));
        begin = at;
      }
      in_digits = digit;
      at += c.bytes;
    }
    if (begin < text.size()) {
      sink(text.substr(begin));
    }
  }

 private:
  bool individual_ = false;
};

enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

constexpr std::array<std::pair<std::string_view, Behavior>, 5> kBehaviors{{
    {"Isolated", Behavior::kIsolated},
    {"Removed", Behavior::kRemoved},
    {"MergedWithPrevious", Behavior::kMergedWithPrevious},
    {"MergedWithNext", Behavior::kMergedWithNext},
    {"Contiguous", Behavior::kContiguous},
}};

Behavior read_behavior(const JsonReader& json) {
  const std::string name = json.text("behavior", "");
  for (const auto& [known, behavior] : kBehaviors) {
    if (name == known) {
      return behavior;
    }
  }
  json.refuse("behavior is \"" + name +
              "\"; allowed: Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

// A literal text as a pattern that matches just that.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-&").find(c) != std::string_view::npos) {
      out.push_back('\\');
    }
    out.push_back(c);
  }
  return out;
}

Regex read_pattern(const JsonReader& json) {
  const auto pattern = json.object("pattern");
  if (!pattern || pattern->has("Regex") == pattern->has("String")) {
    json.refuse("pattern must hold either Regex or String");
  }
  const std::string text =
      pattern->has("Regex") ? pattern->text("Regex", "") : quoted(pattern->text("String", ""));
  try {
    return Regex(text);
  } catch (const InvalidArgument& error) {
    json.refuse(error.what());
  }
}

class Split final : public PreTokenizer {
 public:
  explicit Split(const JsonReader& json)
      : regex_(read_pattern(json)),
        behavior_(read_behavior(json)),
        invert_(json.flag("invert", false)) {}

  void split(std::string_view text, const PieceSink& sink) const override {
    if (behavior_ == Behavior::kIsolated) {
      each_part(text, [&](const Part& part) { sink(text.substr(part.begin, part.size())); });
      return;
    }
    std::vector<Part> parts;
    each_part(text, [&](const Part& part) { parts.push_back(part); });
    if (behavior_ == Behavior::kRemoved) {
      const auto is_match = [](const Part& part) { return part.match; };
      parts.erase(std::remove_if(parts.begin(), parts.end(), is_match), parts.end());
    } else {
      merge(parts);
    }
    for (const Part& part : parts) {
      sink(text.substr(part.begin, part.size()));
    }
  }

 private:
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool match = false;

    [[nodiscard]] std::size_t size() const { return end - begin; }
  };

  template <typename Sink>
  void each_part(std::string_view text, const Sink& sink) const {
    std::size_t done = 0;
    regex_.each_match(text, [&](std::size_t begin, std::size_t end) {
      if (done < begin) {
        sink(Part{done, begin, invert_});
      }
      if (begin < end) {
        sink(Part{begin, end, !invert_});
      }
      done = end;
    });
    if (done < text.size()) {
      sink(Part{done, text.size(), invert_});
    }
  }

  // Whether two neighbours belong in one piece. A match joins at most one neighbour, so that of two
  // matches in a row each gets its own.
  [[nodiscard]] bool joins(const Part& left, const Part& right) const {
    switch (behavior_) {
      case Behavior::kMergedWithPrevious:
        return right.match && !left.match;
      case Behavior::kMergedWithNext:
        return left.match && !right.match;
      case Behavior::kContiguous:
        return left.match == right.match;
      default:
        return false;
    }
  }

  void merge(std::vector<Part>& parts) const {
    std::vector<Part> merged;
    const Part* last = nullptr;
    for (const Part& part : parts) {
      if (last != nullptr && joins(*last, part)) {
        merged.back().end = part.end;
      } else {
        merged.push_back(part);
      }
      last = &part;
    }
    parts = std::move(merged);
  }

  Regex regex_;
  Behavior behavior_ = Behavior::kIsolated;
  bool invert_ = false;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> stages)
      : stages_(std::move(stages)) {}

  void split(std::string_view text, const PieceSink& sink) const override { run(0, text, sink); }

 private:
  void run(std::size_t stage, std::string_view text, const PieceSink& sink) const {
    if (stage + 1 == stages_.size()) {
      stages_[stage]->split(text, sink);
      return;
    }
    stages_[stage]->split(text, [&](std::string_view piece) { run(stage + 1, piece, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

std::vector<JsonReader> stages_of(const JsonReader& json, const std::string& where) {
  std::vector<JsonReader> stages;
  const nlohmann::json* list = json.find("pretokenizers");
  if (list == nullptr || !list->is_array() || list->empty()) {
    json.refuse("pretokenizers is not an array of at least one");
  }
  for (const nlohmann::json& stage : *list) {
    if (!stage.is_object()) {
      json.refuse("pretokenizers holds something that is not an object");
    }
    stages.emplace_back(stage, where + ": pretokenizers");
  }
  return stages;
}

std::unique_ptr<PreTokenizer> read_stage(const JsonReader& json) {
  const std::string type = json.text("type", "");
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(json);
  }
  if (type == "Digits") {
    return std::make_unique<Digits>(json);
  }
  if (type == "Split") {
    return std::make_unique<Split>(json);
  }
  json.refuse("type is \"" + type +
              "\"; supported: ByteLevel, Split, Digits, and a Sequence of these ending in "
              "ByteLevel");
}

}  // namespace

bool is_byte_level(const JsonReader& json, const std::string& where) {
  const std::string type = json.text("type", "");
  if (type != "Sequence") {
    return type == "ByteLevel";
  }
  const std::vector<JsonReader> stages = stages_of(json, where);
  return std::any_of(stages.begin(), stages.end(), [](const JsonReader& stage) {
    return stage.text("type", "") == "ByteLevel";
  });
}

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const JsonReader& json, const std::string& where) {
  if (json.text("type", "") != "Sequence") {
    return read_stage(json);
  }
  const std::vector<JsonReader> stages = stages_of(json, where);
  std::vector<std::unique_ptr<PreTokenizer>> made;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    made.push_back(read_stage(stages[i]));
    // What follows ByteLevel would see bytes spelled as characters.
    if ((stages[i].text("type", "") == "ByteLevel") != (i + 1 == stages.size())) {
      json.refuse("ByteLevel must be the last pre-tokenizer of a Sequence");
    }
  }
  return std::make_unique<Sequence>(std::move(made));
}

}  // namespace kvg::model
