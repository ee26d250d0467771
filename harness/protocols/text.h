#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "harness/protocol.h"

namespace kvg::harness {

/// What the protocols that score a text share.

/// Throws Error when a likelihood, that of scored token `number`, is not a number.
void expect_finite(const model::TokenScore& score, std::size_t number);

/// Adds one score against `target` to a trace. Throws Error when the likelihood is not a number.
void keep_score(Trace& trace, const model::TokenScore& score, std::int32_t target);

/// Feeds drive.ids from `fed` on, one token a step, each scored against the next from the first
/// that counts on, until none is left to score or the trace has `limit` feeds.
void feed_steps(const Drive& drive, std::size_t fed, std::size_t limit, Trace& trace);

/// What was scored, how well, and the time of all samples.
void summarise_quality(const Workload& workload, std::span<const Trace> traces, Record& record);

/// Figures of a row in which every sample is a text: sums and pools over all samples.
void summarise_text(const Workload& workload, std::span<const Trace> traces, Record& record);

/// Tokens of the longest sample; there is at least one.
[[nodiscard]] std::int32_t longest_sample(const Workload& workload);

}  // namespace kvg::harness
