#include "harness/protocols/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "harness/meter.h"
#include "harness/statistics.h"
#include "harness/summary.h"
#include "kernels/core/error.h"

namespace kvg::harness {

void keep_score(Trace& trace, const model::TokenScore& score, std::int32_t target) {
  if (!std::isfinite(score.nll)) {
    throw Error("the likelihood of scored token " + std::to_string(trace.nll.size() + 1) +
                " is not a finite number");
  }
  trace.nll.push_back(static_cast<double>(score.nll));
  trace.correct += score.best == target ? 1 : 0;
  ++trace.eval_tokens;
}

void feed_steps(const Drive& drive, std::size_t fed, std::size_t limit, Trace& trace) {
  for (std::size_t at = fed; at + 1 < drive.ids().size() && trace.steps.size() < limit; ++at) {
    const std::array target{drive.ids()[at + 1]};
    keep_step_reads(drive.runner.cache(), trace);
    model::TokenScore score;
    const double seconds =
        seconds_of([&] { score = drive.runner.step(drive.ids().subspan(at, 1), target).front(); });
    trace.steps.push_back(seconds);
    keep_score(trace, score, target.front());
    if (drive.tick) {
      drive.tick(at + 1, drive.ids().size() - 1);
    }
  }
}

void summarise_quality(const Workload& workload, std::span<const Trace> traces, Record& record) {
  std::vector<double> nll;
  std::vector<double> kept;
  double total = 0.0;
  std::int64_t correct = 0;
  record.eval_tokens = 0;
  for (const Trace& trace : traces) {
    nll.insert(nll.end(), trace.nll.begin(), trace.nll.end());
    kept.push_back(trace.final_cache_size);
    total += total_seconds(trace);
    correct += trace.correct;
    record.eval_tokens += trace.eval_tokens;
  }
  record.total_time = total;
  record.throughput = static_cast<double>(record.eval_tokens) / total;
  record.final_cache_size = mean(kept);
  if (workload.scored) {
    const Perplexity quality = perplexity(nll);
    record.perplexity = quality.value;
    record.perplexity_stderr = quality.standard_error;
    record.accuracy = static_cast<double>(correct) / static_cast<double>(record.eval_tokens);
  }
}

void summarise_text(const Workload& workload, std::span<const Trace> traces, Record& record) {
  summarise_quality(workload, traces, record);
  std::vector<double> first;
  std::vector<double> later;
  for (const Trace& trace : traces) {
    first.push_back(trace.steps.front());
    later.insert(later.end(), trace.steps.begin() + 1, trace.steps.end());
  }
  record.ttft = mean(first);
  if (!later.empty()) {
    record.tpot = mean(later);
    keep_latencies(later, record);
  }
}

std::int32_t longest_sample(const Workload& workload) {
  KVG_EXPECT(!workload.samples.empty(), "a workload has a sample");
  const auto longest = std::ranges::max_element(
      workload.samples, {}, [](const std::vector<std::int32_t>& sample) { return sample.size(); });
  return static_cast<std::int32_t>(longest->size());
}

}  // namespace kvg::harness
