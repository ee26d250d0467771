#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kvcompress/selection.h"

namespace kvg::kvcompress {

/// A cache policy: who stays, in what form, and where. Codec and placement are native and the
/// model's own device so far.
struct Policy {
  std::string method;     ///< the text given
  std::string canonical;  ///< the spec with every parameter; parses back to itself
  std::shared_ptr<const Selection> selection;  ///< shared: rows of one run are copied about
};

/// Parses one spec, alias (`streaming_256`) included. Throws InvalidArgument with the list of what
/// exists, or the range of what is out of range.
[[nodiscard]] Policy parse_policy(std::string_view text);

}  // namespace kvg::kvcompress
