// Quality alone, by the fastest exact method: what a policy's cache makes of whole texts, in one
// masked pass where what a token sees follows from its position alone, else with many samples
// stepped through side by side. The scores are those of `stream`; no step is timed.

#include <algorithm>

#include "harness/meter.h"
#include "harness/protocols/protocols.h"
#include "harness/protocols/text.h"

namespace kvg::harness {
namespace {

model::RunShape shape(const Experiment& experiment, const Workload& workload) {
  const auto samples = static_cast<std::int32_t>(workload.samples.size());
  const std::int32_t wanted = experiment.batch.value_or(kAuto);
  return {.batch = std::min(wanted == kAuto ? kMaxBatch : wanted, samples),
          .prompt = 0,
          .tokens = longest_sample(workload) - 1,
          .chunk = 0,
          .shortest_prompt = 0,
          .texts = true};
}

std::vector<Trace> run(const Drive& drive) {
  std::vector<std::vector<model::TokenScore>> scores;
  const double seconds =
      seconds_of([&] { scores = drive.runner.score_texts(drive.samples, drive.tick); });
  double tokens = 0.0;
  for (const auto& sample : scores) {
    tokens += static_cast<double>(sample.size());
  }
  std::vector<Trace> traces;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto steps = static_cast<std::int32_t>(scores[i].size());
    Trace trace;
    trace.tokens = steps + 1;
    trace.share_seconds = seconds * steps / tokens;
    for (std::size_t at = drive.first_scored_of(i) - 1; at < scores[i].size(); ++at) {
      keep_score(trace, scores[i][at], drive.samples[i][at + 1]);
    }
    trace.kept = drive.runner.kept_of_steps(steps);
    trace.final_cache_size = trace.kept.mean;
    trace.kept_fraction = trace.kept.mean / steps;
    traces.push_back(std::move(trace));
  }
  return traces;
}

std::int32_t least_tokens(const Experiment& /*experiment*/) {
  return 2;
}

}  // namespace

constinit const Protocol kScore{
    .name = "score",
    .summary = "quality alone, as stream scores it, by one masked pass or many samples a step",
    .reads_text = true,
    .scores_text = true,
    .quality_only = true,
    .shape = shape,
    .run = run,
    .summarise = summarise_quality,
    .least_tokens = least_tokens,
};

}  // namespace kvg::harness
