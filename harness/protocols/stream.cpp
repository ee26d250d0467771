// Feeds a sample token by token through the policy; every step is scored against the next token,
// the last token is fed to nobody.

#include "harness/protocols/protocols.h"
#include "harness/protocols/text.h"
#include "harness/summary.h"

namespace kvg::harness {
namespace {

model::RunShape shape(const Experiment& /*experiment*/, const Workload& workload) {
  return {.batch = 1, .prompt = 0, .tokens = longest_sample(workload) - 1, .chunk = 0};
}

std::vector<Trace> run(const Drive& drive) {
  Trace trace;
  trace.tokens = static_cast<std::int32_t>(drive.ids().size());
  drive.runner.begin();
  feed_steps(drive, 0, drive.max_steps, trace);
  keep_cache_figures(drive.runner.cache(), trace.steps.size(), trace);
  return {std::move(trace)};
}

std::int32_t least_tokens(const Experiment& /*experiment*/) {
  return 2;
}

}  // namespace

constinit const Protocol kStream{
    .name = "stream",
    .summary = "token by token through the policy, scoring each next token",
    .reads_text = true,
    .scores_text = true,
    .shape = shape,
    .run = run,
    .summarise = summarise_text,
    .least_tokens = least_tokens,
};

}  // namespace kvg::harness
