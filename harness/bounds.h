#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "harness/protocol.h"
#include "harness/record.h"
#include "kernels/ceilings.h"
#include "model/config.h"

namespace kvg::harness {

/// The least that a step or a prompt costs, whatever program runs it: bytes that must be read once
/// and operations that must be done. Norms, softmax and scores of entries are left out; they only
/// add to the time.

/// Bytes of weights that a feed of `rows` tokens in all reads: every one of them, but of the
/// embedding just those rows, unless it is the head as well.
[[nodiscard]] double step_weight_bytes(const model::Config& config, DType matrices, double rows);

/// Bytes of the keys and values of one token in every layer, stored in `bits` an element.
[[nodiscard]] double token_kv_bytes(const model::Config& config, double bits);

/// 2 x parameters of the layers' matrices x tokens, causal attention (4 x head_dim x heads x n^2 /
/// 2 a layer), and the head of each row's last token. `tokens`: of one row.
[[nodiscard]] double prefill_flops(const model::Config& config, int batch, double tokens);

/// The matrices alone of a step: the entries that it attends to are the policy's.
[[nodiscard]] double step_flops(const model::Config& config, int batch);

/// What a device does in a second at most; empty: unknown.
struct Limits {
  std::optional<double> bytes;
  std::optional<double> flops;
};

/// As calibrated, but on an H200 no less than what the card is known to reach (4600 GB/s, and 770
/// TFLOP/s in 16 bits): a slow calibration flatters nothing.
[[nodiscard]] Limits limits_of(const kernels::Ceilings& ceilings,
                               const kernels::DeviceInfo& device,
                               DType compute);

/// Seconds of the slower of the two; empty when a limit is.
[[nodiscard]] std::optional<double> bound_seconds(const Limits& limits, double bytes, double flops);

/// What a row's bounds are made of, besides its traces.
struct RowWork {
  const model::Config& config;
  const kernels::DeviceInfo& device;
  DType matrices = DType::kF32;  ///< dtype of the weights' matrices
  DType compute = DType::kF32;   ///< dtype of a baseline's cache
  std::size_t step_kernels = 0;  ///< that a step enqueues; 0: it enqueues none
};

/// Fills everything of `record` about limits, from its batch, calibration, ttft, tpot and
/// bits_per_element. What it has no time for keeps no bound.
void keep_bounds(const RowWork& work, std::span<const Trace> traces, Record& record);

}  // namespace kvg::harness
