// Specs of policies: one that is taken is printed so that it parses back to itself.

#include <cstdlib>

#include "kvcompress/policy.h"
#include "tests/fuzz/refusal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  for (const auto feed : {kvg::kvcompress::Feed::kSteps, kvg::kvcompress::Feed::kPrompt}) {
    kvg::fuzz::expect_taken_or_refused([&text, feed] {
      static_cast<void>(kvg::kvcompress::split_policy_list(text));
      const auto policy = kvg::kvcompress::parse_policy(text, feed);
      const auto again = kvg::kvcompress::parse_policy(policy.canonical, feed);
      if (again.canonical != policy.canonical) {
        std::cerr << policy.canonical << " parses to " << again.canonical << '\n';
        std::abort();
      }
    });
  }
  return 0;
}
