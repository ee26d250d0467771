#pragma once

#include <optional>
#include <span>

#include "harness/clocks.h"
#include "harness/protocol.h"
#include "harness/record.h"

namespace kvg::harness {

/// Seconds of all steps of a sample.
[[nodiscard]] double total_seconds(const Trace& trace);

/// The figures of one sample; likelihoods are left out of unscored ones.
[[nodiscard]] Sample to_sample(const Trace& trace, bool scored);

/// Notes what the step to come reads of a cache, unless it is the sample's first feed.
void keep_step_reads(const kvcompress::KvCache& cache, Trace& trace);

/// Notes what a cache holds after a sample's last step. `tokens`: of its prompt, or else all fed.
void keep_cache_figures(const kvcompress::KvCache& cache, std::size_t tokens, Trace& trace);

/// The same of a row: means over the samples, extremes over all of them.
void summarise_cache(std::span<const Trace> traces, Record& record);

/// Percentiles of the later steps of all samples; there is at least one.
void keep_latencies(std::span<const double> later_steps, Record& record);

/// Intervals of what the samples of a record repeat, where it has at least two: of the mean TTFT
/// and TPOT, and of the share of tokens that were the arg-max.
void keep_intervals(Record& record);

/// Bits that a byte of the scored text takes; left out of what is no text.
void keep_bits_per_byte(const Workload& workload, std::span<const Trace> traces, Record& record);

/// Clocks and what held them down, of readings before the first sample and after each.
void keep_clocks(std::span<const std::optional<Clocks>> readings, Record& record);

/// How far samples lie apart that should not: the range of the mean of their later steps over its
/// median, of the first feed where there are none. Steps that only some samples have are left out.
/// One sample alone has no spread.
void keep_spread(std::span<const Trace> traces, Record& record);

}  // namespace kvg::harness
