#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "harness/protocol.h"
#include "harness/record.h"
#include "kvcompress/policy.h"

namespace kvg::harness {

/// Fills delta_nll, its error and top1_agreement of a row from what was recorded of it and of the
/// baseline's, sample by sample and token by token: traces of the same samples.
void keep_deltas(std::span<const Trace> baseline, std::span<const Trace> traces, Record& record);

/// Fills kl_mean and kl_p99 from the divergence of each scored token's distribution from the
/// baseline's, in nats; at least one.
void keep_divergences(std::span<const double> divergences, Record& record);

/// What the divergences of a row are computed from.
struct PairedRow {
  const Workload& workload;
  const kvcompress::Policy& policy;
  const kvcompress::Policy& baseline;
  model::RunShape shape;  ///< of the policy's own run
};

/// Where they are computed.
struct PairedPlace {
  const model::Config& config;
  const model::Weights& weights;
  kernels::Backend& backend;
  std::size_t most_bytes = 0;  ///< that a run may hold
};

/// KL(baseline || policy) of every token that `traces` scored, in their order, by a pass over the
/// samples beside the one that was measured: two runners side by side, in one masked pass where the
/// policy allows it, else in steps, several samples at once. Throws OutOfMemory where the two do
/// not fit, Error when a divergence is not a number.
[[nodiscard]] std::vector<double> divergences_of(const PairedRow& row,
                                                 const PairedPlace& place,
                                                 std::span<const Trace> traces,
                                                 const Tick& tick);

}  // namespace kvg::harness
