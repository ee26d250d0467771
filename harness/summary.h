#pragma once

#include <span>

#include "harness/protocol.h"
#include "harness/record.h"

namespace kvg::harness {

/// Seconds of all steps of a sample.
[[nodiscard]] double total_seconds(const Trace& trace);

/// The figures of one sample; likelihoods are left out of unscored ones.
[[nodiscard]] Sample to_sample(const Trace& trace, bool scored);

/// Percentiles of the later steps of all samples; there is at least one.
void keep_latencies(std::span<const double> later_steps, Record& record);

}  // namespace kvg::harness
