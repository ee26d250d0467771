#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kvcompress/codec.h"
#include "kvcompress/selection.h"

namespace kvg::kvcompress {

/// A cache policy: who stays, in what form, and where (the model's own device so far).
struct Policy {
  std::string method;       ///< the text given
  std::string canonical{};  ///< the spec with every parameter; parses back to itself
  std::shared_ptr<const Selection> selection;  ///< shared: rows of one run are copied about
  Codec codec{};
};

/// Parses one spec for tokens that come as `feed` says. A codec's name alone means baseline with
/// it; NAME_N is NAME:budget=N. Throws InvalidArgument: with the list of what exists, the range of
/// what is out of range, or the reason why two things do not go together.
[[nodiscard]] Policy parse_policy(std::string_view text, Feed feed = Feed::kSteps);

/// Throws InvalidArgument when a model of these heads cannot be run under this policy.
void check_policy(const Policy& policy, int layers, const kernels::HeadShape& heads, DType compute);

/// What the token of a step sees where that follows from its position alone and entries are stored
/// as they are computed, so that all steps of a text may be computed at once; else empty. For
/// policies parsed for Feed::kSteps.
[[nodiscard]] std::optional<kernels::Visibility> fixed_visibility(const Policy& policy,
                                                                  int head_dim,
                                                                  DType compute);

/// Specs that stand for many: "all", "suite:eviction", "suite:codecs", "suite:quick"; empty when
/// `text` is none of them. Throws InvalidArgument for an unknown suite.
[[nodiscard]] std::vector<std::string> suite_of(std::string_view text);

}  // namespace kvg::kvcompress
