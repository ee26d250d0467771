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
namespace {

// Stretches of a sample for which likelihoods are told apart.
constexpr std::int32_t kStretches = 20;

// The position of a sample's first scored token; all after it are scored.
std::int32_t first_scored(const Trace& trace) {
  return trace.tokens - static_cast<std::int32_t>(trace.nll.size());
}

std::vector<PositionNll> nll_by_position(std::span<const Trace> traces) {
  std::int32_t first = traces.front().tokens;
  std::int32_t last = 0;
  for (const Trace& trace : traces) {
    first = std::min(first, first_scored(trace));
    last = std::max(last, trace.tokens);
  }
  std::vector<PositionNll> bins;
  const std::int64_t count = std::min(kStretches, last - first);
  for (std::int64_t i = 0; i < count; ++i) {
    PositionNll bin{.from = first + static_cast<std::int32_t>(i * (last - first) / count),
                    .to = first + static_cast<std::int32_t>((i + 1) * (last - first) / count)};
    double sum = 0.0;
    std::int64_t tokens = 0;
    for (const Trace& trace : traces) {
      const std::int32_t from = std::max(bin.from, first_scored(trace));
      for (std::int32_t at = from; at < std::min(bin.to, trace.tokens); ++at) {
        sum += trace.nll[static_cast<std::size_t>(at - first_scored(trace))];
        ++tokens;
      }
    }
    // A split sample shorter than the others may leave a stretch that no sample scores.
    if (tokens > 0) {
      bin.nll = sum / static_cast<double>(tokens);
      bins.push_back(bin);
    }
  }
  return bins;
}

}  // namespace

void expect_finite(const model::TokenScore& score, std::size_t number) {
  if (!std::isfinite(score.nll)) {
    throw Error("the likelihood of scored token " + std::to_string(number) +
                " is not a finite number");
  }
}

void keep_score(Trace& trace, const model::TokenScore& score, std::int32_t target) {
  expect_finite(score, trace.nll.size() + 1);
  trace.nll.push_back(static_cast<double>(score.nll));
  trace.best.push_back(score.best);
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
    if (at + 1 >= drive.first_scored_of(0)) {
      keep_score(trace, score, target.front());
    }
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
    record.nll_by_position = nll_by_position(traces);
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
