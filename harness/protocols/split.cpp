// Prefills the first P tokens of a sample, cuts the cache, and scores the rest: the first of it
// from the prompt's logits, the others step by step through the cut cache.

#include <algorithm>
#include <array>

#include "harness/meter.h"
#include "harness/protocols/protocols.h"
#include "harness/protocols/text.h"
#include "harness/summary.h"

namespace kvg::harness {
namespace {

using Ids = std::vector<std::int32_t>;

std::size_t prompt_tokens(const Experiment& experiment, std::size_t tokens) {
  return experiment.prefill ? static_cast<std::size_t>(*experiment.prefill) : tokens / 2;
}

model::RunShape shape(const Experiment& experiment, const Workload& workload) {
  const std::int32_t longest = longest_sample(workload);
  const std::size_t prompt = prompt_tokens(experiment, static_cast<std::size_t>(longest));
  const auto shortest = std::ranges::min_element(workload.samples, {}, &Ids::size)->size();
  return {.batch = 1,
          .prompt = static_cast<std::int32_t>(prompt),
          .tokens = longest - 1,
          .chunk = 0,
          .shortest_prompt = static_cast<std::int32_t>(prompt_tokens(experiment, shortest))};
}

std::vector<Trace> run(const Drive& drive) {
  Trace trace;
  trace.tokens = static_cast<std::int32_t>(drive.ids().size());
  const std::size_t prompt = prompt_tokens(drive.experiment, drive.ids().size());
  const std::array target{drive.ids()[prompt]};
  trace.first_tokens = static_cast<std::int32_t>(prompt);
  drive.runner.begin();
  model::TokenScore score;
  const double seconds =
      seconds_of([&] { score = drive.runner.prefill(drive.ids().first(prompt), target).front(); });
  trace.steps.push_back(seconds);
  keep_score(trace, score, target.front());
  feed_steps(drive, prompt, drive.max_steps + 1, trace);
  keep_cache_figures(drive.runner.cache(), prompt, trace);
  return {std::move(trace)};
}

std::int32_t least_tokens(const Experiment& experiment) {
  return experiment.prefill ? *experiment.prefill + 1 : 2;
}

}  // namespace

constinit const Protocol kSplit{
    .name = "split",
    .summary = "prefills a part of the text, cuts, and scores the rest through the cache",
    .reads_text = true,
    .feed = kvcompress::Feed::kPrompt,
    .scores_text = true,
    .shape = shape,
    .run = run,
    .summarise = summarise_text,
    .least_tokens = least_tokens,
};

}  // namespace kvg::harness
