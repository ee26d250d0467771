#include "harness/wanted_policies.h"

#include "kernels/core/error.h"
#include "kvcompress/spec.h"

namespace kvg::harness {
namespace {

void add_suite(const std::vector<std::string>& specs,
               kvcompress::Feed feed,
               const LeaveOut& leave_out,
               std::vector<WantedPolicy>& wanted) {
  for (const std::string& spec : specs) {
    try {
      wanted.push_back({.policy = kvcompress::parse_policy(spec, feed), .of_suite = true});
    } catch (const InvalidArgument& error) {
      leave_out(error.what());
    }
  }
}

WantedPolicy wanted_policy(const std::string& spec, kvcompress::Feed feed, Unplanned unplanned) {
  try {
    return {.policy = kvcompress::parse_policy(spec, feed)};
  } catch (const InvalidArgument& error) {
    if (unplanned == Unplanned::kThrow) {
      throw;
    }
    WantedPolicy refused{.policy = kvcompress::parse_policy("baseline", feed),
                         .refused = error.what()};
    refused.policy.method = spec;
    refused.policy.canonical = spec;
    return refused;
  }
}

}  // namespace

std::vector<WantedPolicy> parse_policies(const std::vector<std::string>& given,
                                         kvcompress::Feed feed,
                                         const LeaveOut& leave_out,
                                         Unplanned unplanned) {
  std::vector<WantedPolicy> wanted;
  for (const std::string& text : given) {
    for (const std::string& spec : kvcompress::split_policy_list(text)) {
      if (const auto suite = kvcompress::suite_of(spec); !suite.empty()) {
        add_suite(suite, feed, leave_out, wanted);
      } else {
        wanted.push_back(wanted_policy(spec, feed, unplanned));
      }
    }
  }
  return wanted;
}

}  // namespace kvg::harness
