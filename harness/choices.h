#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/grid.h"

namespace kvg::harness {

/// One choice that a run leaves open: a flag of `run`, a key of a sweep's file.
struct Choice {
  enum class Takes {
    kOne,       ///< one value
    kList,      ///< one text: a comma list, ranges included
    kRepeated,  ///< any number of texts
    kNothing,   ///< a flag alone, in a file "true" or "false"
  };

  std::string flag{};       ///< "--model"; keys are written without the dashes in front
  std::string plural{};     ///< as a sweep's file may say it: "models"; empty: no such word
  std::string type_name{};  ///< "N", "LIST", "TEXT"
  std::string help{};
  Takes takes = Takes::kOne;
  /// Takes one text. Throws InvalidArgument naming the flag.
  std::function<void(Grid& grid, const std::string& text)> give{};
};

/// Every choice, in the order of the help.
[[nodiscard]] std::vector<Choice> choices();

}  // namespace kvg::harness
