#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kvcompress/policy.h"

namespace kvg::harness {

/// A policy that was asked for, by its own spec or as one of a suite.
struct WantedPolicy {
  kvcompress::Policy policy;
  bool of_suite = false;  ///< left out with a warning where it cannot run
};

/// Hears why a policy of a suite is left out.
using LeaveOut = std::function<void(const std::string& reason)>;

/// What texts given as policies stand for: comma lists of names, specs, suites. Throws
/// InvalidArgument for a spec that cannot be.
[[nodiscard]] std::vector<WantedPolicy> parse_policies(const std::vector<std::string>& given,
                                                       kvcompress::Feed feed,
                                                       const LeaveOut& leave_out);

}  // namespace kvg::harness
