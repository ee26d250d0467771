#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::kvcompress {

/// One parameter that a selection (or later a codec) takes in a spec.
struct ParamInfo {
  enum class Type { kInt, kChoice };

  std::string_view name;
  Type type = Type::kInt;
  std::string_view default_value{};  ///< as text; empty: must be given
  long min = 0;                      ///< kInt: smallest and largest value
  long max = 0;
  std::string_view choices{};  ///< kChoice: "cache|original"
  std::string_view help{};
};

/// The parameters of one part of a spec, every one present, checked against its ParamInfo.
class Params {
 public:
  /// `given` holds key and value as written. Throws InvalidArgument for an unknown key, a value out
  /// of range, or a missing one, naming `owner` and what is allowed.
  Params(std::string_view owner,
         std::span<const ParamInfo> infos,
         const std::map<std::string, std::string, std::less<>>& given);

  [[nodiscard]] long integer(std::string_view name) const;
  [[nodiscard]] const std::string& choice(std::string_view name) const;

  /// "budget=256,sinks=4": every parameter in the order of its infos.
  [[nodiscard]] std::string canonical() const;

 private:
  struct Value {
    std::string name;
    std::string text;
    long integer = 0;
  };

  [[nodiscard]] const Value& find(std::string_view name) const;

  std::vector<Value> values_;
};

/// "streaming:budget=256,sinks=4" -> name "streaming" and its key-value pairs. Throws
/// InvalidArgument for text that is not of this form.
struct SpecPart {
  std::string name;
  std::map<std::string, std::string, std::less<>> params;
};

[[nodiscard]] SpecPart split_spec(std::string_view text);

/// Splits the value of one --policy flag: a comma list of bare names is that many specs, anything
/// with a ':' is one.
[[nodiscard]] std::vector<std::string> split_policy_list(std::string_view text);

}  // namespace kvg::kvcompress
