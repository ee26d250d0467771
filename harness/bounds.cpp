#include "harness/bounds.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/weight_layout.h"

namespace kvg::harness {
namespace {

// What one H200 was measured to reach at least.
constexpr std::string_view kKnownCard = "H200";
constexpr double kKnownBytes = 4600e9;
constexpr double kKnownFlops = 770e12;

double head_parameters(const model::Config& config) {
  return static_cast<double>(config.vocab) * config.hidden;
}

// Of the layers' matrices.
double layer_parameters(const model::Config& config) {
  using model::WeightRole;
  double sum = 0.0;
  for (const model::WeightPart& part : model::lay_out_weights(config, DType::kF32).parts) {
    if (!part.vector && part.role != WeightRole::kEmbedding && part.role != WeightRole::kHead) {
      sum += static_cast<double>(part.count());
    }
  }
  return sum;
}

// Means over the steps after the first feed, of all samples.
struct LaterSteps {
  double count = 0.0;
  double read_bytes = 0.0;
  double tokens = 0.0;  ///< fed to a row before the step
};

LaterSteps later_steps(std::span<const Trace> traces) {
  LaterSteps sum;
  for (const Trace& trace : traces) {
    sum.count += static_cast<double>(trace.steps.size()) - 1.0;
    sum.read_bytes += trace.later_read_bytes;
    sum.tokens += trace.later_tokens;
  }
  if (sum.count > 0.0) {
    sum.read_bytes /= sum.count;
    sum.tokens /= sum.count;
  }
  return sum;
}

void keep_step_bound(const RowWork& work,
                     const LaterSteps& steps,
                     const Limits& limits,
                     Record& record) {
  const double weights = step_weight_bytes(work.config, work.matrices, record.batch);
  const double token = record.batch * token_kv_bytes(work.config, *record.bits_per_element);
  const double plain_bits = 8.0 * static_cast<double>(size_of(work.compute));
  const double plain_token = record.batch * token_kv_bytes(work.config, plain_bits);
  const double bytes = weights + steps.read_bytes + token;
  record.bytes_per_step = std::llround(bytes);
  record.compression_speedup_bound = (weights + (steps.tokens + 1.0) * plain_token) / bytes;
  record.bound_tpot = bound_seconds(limits, bytes, step_flops(work.config, record.batch));
  if (!record.bound_tpot) {
    return;
  }
  record.fraction_of_bound_tpot = *record.bound_tpot / *record.tpot;
  if (record.calibration->kernel_us && work.step_kernels > 0) {
    const double launches = *record.calibration->kernel_us * 1e-6;
    record.launch_bound = static_cast<double>(work.step_kernels) * launches > *record.bound_tpot;
  }
}

void keep_prompt_bound(const RowWork& work,
                       std::span<const Trace> traces,
                       const Limits& limits,
                       Record& record) {
  double flops = 0.0;
  double tokens = 0.0;
  for (const Trace& trace : traces) {
    flops += prefill_flops(work.config, record.batch, trace.first_tokens);
    tokens += trace.first_tokens;
  }
  const auto samples = static_cast<double>(traces.size());
  record.flops_prefill = flops / samples;
  const double rows = record.batch * tokens / samples;
  const double weights = step_weight_bytes(work.config, work.matrices, rows);
  record.bound_ttft = bound_seconds(limits, weights, *record.flops_prefill);
  if (record.bound_ttft) {
    record.fraction_of_bound_ttft = *record.bound_ttft / *record.ttft;
  }
}

}  // namespace

double step_weight_bytes(const model::Config& config, DType matrices, double rows) {
  double bytes = 0.0;
  for (const model::WeightPart& part : model::lay_out_weights(config, matrices).parts) {
    if (part.role != model::WeightRole::kEmbedding || config.tied_embeddings) {
      bytes += static_cast<double>(part.bytes());
    } else {
      bytes += rows * config.hidden * static_cast<double>(size_of(part.dtype));
    }
  }
  return bytes;
}

double token_kv_bytes(const model::Config& config, double bits) {
  const kernels::HeadShape& heads = config.heads;
  return 2.0 * config.layers * heads.kv_heads * heads.head_dim * bits / 8.0;
}

double prefill_flops(const model::Config& config, int batch, double tokens) {
  const double matrices = 2.0 * layer_parameters(config) * tokens;
  const double attention =
      4.0 * config.heads.head_dim * config.heads.heads * config.layers * tokens * tokens / 2.0;
  return batch * (matrices + attention + 2.0 * head_parameters(config));
}

double step_flops(const model::Config& config, int batch) {
  return 2.0 * batch * (layer_parameters(config) + head_parameters(config));
}

Limits limits_of(const kernels::Ceilings& ceilings,
                 const kernels::DeviceInfo& device,
                 DType compute) {
  Limits limits;
  if (ceilings.read_gbps) {
    limits.bytes = *ceilings.read_gbps * 1e9;
  }
  if (ceilings.gemm_tflops) {
    limits.flops = *ceilings.gemm_tflops * 1e12;
  }
  if (device.name.find(kKnownCard) != std::string::npos) {
    limits.bytes = std::max(limits.bytes.value_or(0.0), kKnownBytes);
    if (compute != DType::kF32) {
      limits.flops = std::max(limits.flops.value_or(0.0), kKnownFlops);
    }
  }
  return limits;
}

std::optional<double> bound_seconds(const Limits& limits, double bytes, double flops) {
  if (!limits.bytes || !limits.flops) {
    return std::nullopt;
  }
  return std::max(bytes / *limits.bytes, flops / *limits.flops);
}

void keep_bounds(const RowWork& work, std::span<const Trace> traces, Record& record) {
  if (!record.calibration) {
    return;
  }
  const Limits limits = limits_of(*record.calibration, work.device, work.compute);
  if (record.ttft) {
    keep_prompt_bound(work, traces, limits, record);
  }
  if (record.tpot && record.bits_per_element) {
    keep_step_bound(work, later_steps(traces), limits, record);
  }
}

}  // namespace kvg::harness
