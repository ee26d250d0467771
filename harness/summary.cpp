#include "harness/summary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "harness/statistics.h"

namespace kvg::harness {

namespace {

// Beyond this share samples that do the same work differ by more than measuring should.
constexpr double kQuiet = 0.05;

// Of a figure that every sample has; else empty.
std::optional<Interval> interval_of(std::span<const Sample> samples,
                                    std::optional<double> Sample::*figure) {
  std::vector<double> values;
  for (const Sample& sample : samples) {
    if (!(sample.*figure)) {
      return {};
    }
    values.push_back(*(sample.*figure));
  }
  return student_interval(values);
}

}  // namespace

double total_seconds(const Trace& trace) {
  return std::accumulate(trace.steps.begin(), trace.steps.end(), trace.share_seconds);
}

Sample to_sample(const Trace& trace, bool scored) {
  Sample sample{.tokens = trace.tokens,
                .eval_tokens = trace.eval_tokens,
                .nll_sum = {},
                .correct = {},
                .ttft = {},
                .tpot = {},
                .total_time = total_seconds(trace),
                .final_cache_size = trace.final_cache_size,
                .peak_bytes = trace.peak_bytes,
                .step_times = {},
                .answer = {}};
  if (!trace.steps.empty()) {
    sample.ttft = trace.steps.front();
  }
  if (trace.steps.size() > 1) {
    sample.step_times.assign(trace.steps.begin() + 1, trace.steps.end());
    sample.tpot = mean(sample.step_times);
  }
  sample.answer = trace.answer;
  if (scored) {
    sample.nll_sum = std::accumulate(trace.nll.begin(), trace.nll.end(), 0.0);
    sample.correct = trace.correct;
  }
  return sample;
}

void keep_step_reads(const kvcompress::KvCache& cache, Trace& trace) {
  if (!trace.steps.empty()) {
    trace.later_read_bytes += cache.step_read_bytes();
    trace.later_tokens += cache.tokens_fed();
  }
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
    read += trace.step_read_bytes.value_or(0.0) / count;
  }
  record.kept_entries = kept;
  record.kept_fraction = fraction;
  if (traces.front().step_read_bytes) {
    record.kv_bytes_read_per_step = std::llround(read);
  }
}

void keep_latencies(std::span<const double> later_steps, Record& record) {
  record.itl_p50 = quantile(later_steps, 0.5);
  record.itl_p90 = quantile(later_steps, 0.9);
  record.itl_p99 = quantile(later_steps, 0.99);
}

void keep_intervals(Record& record) {
  if (record.samples.size() < 2) {
    return;
  }
  if (const auto interval = interval_of(record.samples, &Sample::ttft)) {
    record.ttft_low = interval->low;
    record.ttft_high = interval->high;
  }
  if (const auto interval = interval_of(record.samples, &Sample::tpot)) {
    record.tpot_low = interval->low;
    record.tpot_high = interval->high;
  }
  if (!record.samples.front().correct) {
    return;  // no token is scored
  }
  std::vector<Share> shares;
  for (const Sample& sample : record.samples) {
    shares.push_back({.part = *sample.correct, .whole = sample.eval_tokens});
  }
  const Interval interval = bootstrap_interval(shares, record.seed);
  record.accuracy_low = interval.low;
  record.accuracy_high = interval.high;
}

void keep_bits_per_byte(const Workload& workload, std::span<const Trace> traces, Record& record) {
  if (!workload.bytes_of) {
    return;
  }
  double nats = 0.0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < traces.size(); ++i) {
    const std::vector<double>& nll = traces[i].nll;
    nats += std::accumulate(nll.begin(), nll.end(), 0.0);
    bytes += workload.bytes_of(std::span(workload.samples[i]).last(nll.size()));
  }
  if (bytes > 0) {
    record.bits_per_byte = nats / std::numbers::ln2 / static_cast<double>(bytes);
  }
}

void keep_clocks(std::span<const std::optional<Clocks>> readings, Record& record) {
  std::uint64_t reasons = 0;
  for (const std::optional<Clocks>& reading : readings) {
    if (!reading) {
      return;
    }
    reasons |= reading->reasons;
  }
  record.sm_clock_before_mhz = readings.front()->sm_mhz;
  record.sm_clock_mhz = readings.back()->sm_mhz;
  record.throttle_reasons = throttle_names(reasons);
  record.throttled = !record.throttle_reasons.empty();
}

void keep_spread(std::span<const Trace> traces, Record& record) {
  if (traces.size() < 2) {
    return;
  }
  std::size_t common = traces.front().steps.size();
  for (const Trace& trace : traces) {
    common = std::min(common, trace.steps.size());
  }
  if (common == 0) {
    return;  // no step was timed
  }
  const std::size_t first = common > 1 ? 1 : 0;
  std::vector<double> means;
  for (const Trace& trace : traces) {
    means.push_back(mean(std::span(trace.steps).subspan(first, common - first)));
  }
  const auto [least, most] = std::ranges::minmax(means);
  record.spread = (most - least) / median(means);
  record.noisy = *record.spread > kQuiet;
}

}  // namespace kvg::harness
