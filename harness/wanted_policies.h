#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kvcompress/policy.h"

namespace kvg::harness {

/// What becomes of a row that cannot be planned: its policy is refused for the model, its context
/// is beyond the text, and so on.
enum class Unplanned {
  kThrow,     ///< the whole experiment is refused
  kFailsRow,  ///< it is a row that fails with the reason
};

/// A policy that was asked for, by its own spec or as one of a suite.
struct WantedPolicy {
  kvcompress::Policy policy;
  bool of_suite = false;  ///< left out with a warning where it cannot run
  std::string refused{};  ///< why its spec cannot be: then the policy is a name alone
};

/// Hears why a policy of a suite is left out.
using LeaveOut = std::function<void(const std::string& reason)>;

/// What texts given as policies stand for: comma lists of names, specs, suites. Throws
/// InvalidArgument for a spec that cannot be, unless it is to fail its row; for a list or a suite
/// that cannot be in any case.
[[nodiscard]] std::vector<WantedPolicy> parse_policies(const std::vector<std::string>& given,
                                                       kvcompress::Feed feed,
                                                       const LeaveOut& leave_out,
                                                       Unplanned unplanned);

}  // namespace kvg::harness
