#include "harness/summary.h"

#include <numeric>

#include "harness/statistics.h"

namespace kvg::harness {

double total_seconds(const Trace& trace) {
  return std::accumulate(trace.steps.begin(), trace.steps.end(), 0.0);
}

Sample to_sample(const Trace& trace, bool scored) {
  Sample sample{.tokens = trace.tokens,
                .eval_tokens = trace.eval_tokens,
                .nll_sum = {},
                .correct = {},
                .ttft = trace.steps.front(),
                .tpot = {},
                .total_time = total_seconds(trace),
                .final_cache_size = trace.final_cache_size,
                .peak_bytes = trace.peak_bytes};
  if (trace.steps.size() > 1) {
    sample.tpot = mean(std::span(trace.steps).subspan(1));
  }
  if (scored) {
    sample.nll_sum = std::accumulate(trace.nll.begin(), trace.nll.end(), 0.0);
    sample.correct = trace.correct;
  }
  return sample;
}

void keep_latencies(std::span<const double> later_steps, Record& record) {
  record.itl_p50 = quantile(later_steps, 0.5);
  record.itl_p90 = quantile(later_steps, 0.9);
  record.itl_p99 = quantile(later_steps, 0.99);
}

}  // namespace kvg::harness
