#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::kvcompress {

/// How tokens reach a cache: one by one, or a prompt first. Some parameters have another default,
/// or no meaning, where there is no prompt.
enum class Feed { kSteps, kPrompt };

/// One parameter that a selection or a codec takes in a spec.
struct ParamInfo {
  enum class Type { kInt, kReal, kChoice, kText };

  std::string_view name;
  Type type = Type::kInt;
  std::string_view default_value{};   ///< as text; empty: none
  std::string_view prompt_default{};  ///< with a prompt; empty: the same
  bool optional = false;              ///< without a default it may still be left out
  long min = 0;                       ///< kInt: smallest and largest value
  long max = 0;                       ///< kReal: above 0, at most max
  std::string_view choices{};         ///< kChoice: "cache|original"
  std::string_view help{};
};

/// The parameters of one part of a spec, checked against their ParamInfo.
class Params {
 public:
  using Given = std::map<std::string, std::string, std::less<>>;

  /// `given` holds key and value as written. Throws InvalidArgument for an unknown key, a value out
  /// of range, or a missing one, naming `owner` ("policy streaming") and what is allowed.
  Params(std::string_view owner, std::span<const ParamInfo> infos, const Given& given, Feed feed);

  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] long integer(std::string_view name) const;
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;

  /// Gives a parameter that was left out a value of its owner's.
  void complete(std::string_view name, std::string_view text);

  /// "budget=256,sinks=4": every parameter that has a value, each name behind `prefix`.
  [[nodiscard]] std::string canonical(std::string_view prefix = "") const;

 private:
  struct Value {
    std::string name;
    std::string text;
    long integer = 0;
    double real = 0.0;
  };

  [[nodiscard]] const Value& find(std::string_view name) const;
  // Reads value.text; false when it is out of range.
  static bool read(const ParamInfo& info, Value& value);

  std::vector<Value> values_;
};

/// "streaming:budget=256,sinks=4": a name and its key-value pairs; "k=int8,v=int4": pairs alone.
struct SpecPart {
  std::string name;
  Params::Given params;
};

/// A spec: a selection and, behind a '+', a codec.
struct SpecText {
  SpecPart selection;
  std::optional<SpecPart> codec;
};

/// Throws InvalidArgument for text that is not of this form.
[[nodiscard]] SpecText split_spec(std::string_view text);

/// Splits the value of one --policy flag: a comma list of bare names is that many specs, anything
/// with a ':' or a '=' is one.
[[nodiscard]] std::vector<std::string> split_policy_list(std::string_view text);

}  // namespace kvg::kvcompress
