// Prompts of random ids, then greedy generation: every step feeds what the one before it chose, so
// no two steps can overlap. Nothing is scored. The row holds medians over the repetitions.

#include <algorithm>
#include <vector>

#include "harness/meter.h"
#include "harness/protocols/protocols.h"
#include "harness/protocols/text.h"
#include "harness/statistics.h"
#include "harness/summary.h"

namespace kvg::harness {
namespace {

model::RunShape shape(const Experiment& experiment, const Workload& /*workload*/) {
  const std::int32_t prompt = value_of(experiment, &Experiment::prompt_len);
  // The last token generated is fed to nobody.
  return {.batch = value_of(experiment, &Experiment::batch),
          .prompt = prompt,
          .tokens = prompt + value_of(experiment, &Experiment::gen_len) - 1,
          .chunk = 0};
}

std::vector<Trace> run(const Drive& drive) {
  const std::int32_t generated = value_of(drive.experiment, &Experiment::gen_len);
  const auto batch = static_cast<std::size_t>(value_of(drive.experiment, &Experiment::batch));
  const std::vector<std::int32_t> no_targets(batch, model::kNoTarget);
  std::vector<std::int32_t> next(batch);
  const auto take = [&next](std::span<const model::TokenScore> scores) {
    std::ranges::transform(scores, next.begin(), &model::TokenScore::best);
  };
  Trace trace;
  trace.first_tokens = static_cast<std::int32_t>(drive.ids().size() / batch);
  trace.tokens = trace.first_tokens + generated;
  drive.runner.begin();
  trace.steps.push_back(seconds_of([&] { take(drive.runner.prefill(drive.ids(), no_targets)); }));
  const std::size_t steps = std::min(static_cast<std::size_t>(generated), drive.max_steps + 1);
  while (trace.steps.size() < steps) {
    keep_step_reads(drive.runner.cache(), trace);
    trace.steps.push_back(seconds_of([&] { take(drive.runner.step(next, no_targets)); }));
    if (drive.tick) {
      drive.tick(trace.steps.size(), steps);
    }
  }
  trace.eval_tokens = static_cast<std::int64_t>(batch) * generated;
  keep_cache_figures(drive.runner.cache(), drive.ids().size() / batch, trace);
  return {std::move(trace)};
}

// Of the steps of one repetition, the prompt left out; there is at least one.
double decode_seconds(const Trace& trace) {
  return total_seconds(trace) - trace.steps.front();
}

void summarise(const Workload& workload, std::span<const Trace> traces, Record& record) {
  std::vector<double> first;
  std::vector<double> per_step;
  std::vector<double> totals;
  std::vector<double> later;
  for (const Trace& trace : traces) {
    first.push_back(trace.steps.front());
    totals.push_back(total_seconds(trace));
    later.insert(later.end(), trace.steps.begin() + 1, trace.steps.end());
    if (trace.steps.size() > 1) {
      per_step.push_back(decode_seconds(trace) / static_cast<double>(trace.steps.size() - 1));
    }
  }
  record.eval_tokens = traces.front().eval_tokens;
  record.ttft = median(first);
  record.total_time = median(totals);
  record.throughput = static_cast<double>(record.eval_tokens) / *record.total_time;
  record.prefill_throughput = static_cast<double>(workload.samples.front().size()) / *record.ttft;
  record.final_cache_size = traces.front().final_cache_size;
  if (!per_step.empty()) {
    record.tpot = median(per_step);
    record.decode_throughput = static_cast<double>(record.batch) / *record.tpot;
    keep_latencies(later, record);
  }
}

std::int32_t least_tokens(const Experiment& /*experiment*/) {
  return 1;
}

}  // namespace

constinit const Protocol kSpeed{
    .name = "speed",
    .summary = "random ids: prompts, then greedy generation; nothing is scored",
    .reads_text = false,
    .feed = kvcompress::Feed::kPrompt,
    .shape = shape,
    .run = run,
    .summarise = summarise,
    .least_tokens = least_tokens,
};

}  // namespace kvg::harness
