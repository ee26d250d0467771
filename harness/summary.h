#pragma once

#include <span>

#include "harness/protocol.h"
#include "harness/record.h"

namespace kvg::harness {

/// Seconds of all steps of a sample.
[[nodiscard]] double total_seconds(const Trace& trace);

/// The figures of one sample; likelihoods are left out of unscored ones.
[[nodiscard]] Sample to_sample(const Trace& trace, bool scored);

/// Notes what a cache holds after a sample's last step. `tokens`: of its prompt, or else all fed.
void keep_cache_figures(const kvcompress::KvCache& cache, std::size_t tokens, Trace& trace);

/// The same of a row: means over the samples, extremes over all of them.
void summarise_cache(std::span<const Trace> traces, Record& record);

/// Percentiles of the later steps of all samples; there is at least one.
void keep_latencies(std::span<const double> later_steps, Record& record);

}  // namespace kvg::harness
