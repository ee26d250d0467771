#include "harness/summary.h"

#include <algorithm>
#include <cmath>
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

void keep_cache_figures(const kvcompress::KvCache& cache, std::size_t tokens, Trace& trace) {
  trace.final_cache_size = cache.mean_entries();
  trace.kept = cache.kept_entries();
  trace.kept_fraction = trace.kept.mean / static_cast<double>(tokens);
  trace.step_read_bytes = cache.step_read_bytes();
}

void summarise_cache(std::span<const Trace> traces, Record& record) {
  const auto count = static_cast<double>(traces.size());
  kvcompress::KeptEntries kept{.mean = 0.0, .min = traces.front().kept.min, .max = 0};
  double fraction = 0.0;
  double read = 0.0;
  for (const Trace& trace : traces) {
    kept.mean += trace.kept.mean / count;
    kept.min = std::min(kept.min, trace.kept.min);
    kept.max = std::max(kept.max, trace.kept.max);
    fraction += trace.kept_fraction / count;
    read += trace.step_read_bytes / count;
  }
  record.kept_entries = kept;
  record.kept_fraction = fraction;
  record.kv_bytes_read_per_step = std::llround(read);
}

void keep_latencies(std::span<const double> later_steps, Record& record) {
  record.itl_p50 = quantile(later_steps, 0.5);
  record.itl_p90 = quantile(later_steps, 0.9);
  record.itl_p99 = quantile(later_steps, 0.99);
}

}  // namespace kvg::harness
