#pragma once

#include "harness/environment.h"
#include "harness/record.h"
#include "harness/reporter.h"

namespace kvg::harness {

/// A measured row whose every figure differs, so that none can be taken for another.
inline Record measured_record() {
  Record record;
  record.method = "streaming_256";
  record.policy = "streaming:budget=256,sinks=4,decode=evict,positions=cache";
  record.budget_requested = "256";
  record.model = "tiny-llama";
  record.dataset = "persuasion";
  record.protocol = "stream";
  record.device = "cpu";
  record.dtype = "f32";
  record.seed = 7;
  record.ttft = 0.0012345678;
  record.tpot = 0.00123;
  record.throughput = 812.34567;
  record.itl_p50 = 0.0011;
  record.itl_p90 = 0.0012;
  record.itl_p99 = 0.0013;
  record.total_time = 7.375;
  record.perplexity = 29.125;
  record.perplexity_stderr = 0.5;
  record.bits_per_byte = 1.625;
  record.nll_by_position = {{.from = 1, .to = 1000, .nll = 3.5},
                            {.from = 1000, .to = 2000, .nll = 3.25}};
  record.delta_nll = 0.0703125;
  record.delta_nll_stderr = 0.001953125;
  record.kl_mean = 0.09375;
  record.kl_p99 = 1.125;
  record.top1_agreement = 0.875;
  record.accuracy = 0.34375;
  record.eval_tokens = 5997;
  record.final_cache_size = 256.0;
  record.kept_entries = kvcompress::KeptEntries{.mean = 250.5, .min = 248, .max = 255};
  record.kept_fraction = 0.125;
  record.bits_per_element = 5.25;
  record.kv_bytes_read_per_step = 4096;
  record.memory = MemoryFigures{.weights_bytes = 1,
                                .kv_bytes = 2,
                                .activations_bytes = 3,
                                .workspace_bytes = 4,
                                .observations_bytes = 5,
                                .pool_used_peak_bytes = 1610612736,
                                .pool_reserved_peak_bytes = 1610612737,
                                .process_bytes = 1610612730,
                                .unaccounted_bytes = -7};
  record.predicted_peak_bytes = 1610612735;
  record.calibration = kernels::Ceilings{.read_gbps = 55.5,
                                         .copy_gbps = 44.5,
                                         .gemm_tflops = 0.125,
                                         .kernel_us = 0.75,
                                         .h2d_gbps = {}};
  record.bytes_per_step = 16777216;
  record.flops_prefill = 2e12;
  record.bound_tpot = 0.0005;
  record.bound_ttft = 0.0006;
  record.fraction_of_bound_tpot = 0.40625;
  record.fraction_of_bound_ttft = 0.46875;
  record.compression_speedup_bound = 1.75;
  record.spread = 0.0625;
  record.noisy = true;
  record.samples = {Sample{.tokens = 2000,
                           .eval_tokens = 1999,
                           .nll_sum = 6800.5,
                           .correct = 700,
                           .ttft = 0.001,
                           .tpot = 0.002,
                           .total_time = 2.5,
                           .final_cache_size = 256.0,
                           .peak_bytes = 99,
                           .step_times = {0.0015, 0.0025}}};
  return record;
}

/// A row of random ids: nothing is scored, one step alone.
inline Record unscored_record() {
  Record record = measured_record();
  record.method = "baseline";
  record.policy = "baseline";
  record.budget_requested = "";
  record.tpot = {};
  record.bytes_per_step = {};
  record.bound_tpot = {};
  record.fraction_of_bound_tpot = {};
  record.compression_speedup_bound = {};
  record.throughput = 12345.6;
  record.perplexity = {};
  record.perplexity_stderr = {};
  record.bits_per_byte = {};
  record.nll_by_position = {};
  record.delta_nll = {};
  record.delta_nll_stderr = {};
  record.kl_mean = {};
  record.kl_p99 = {};
  record.top1_agreement = {};
  record.accuracy = {};
  record.final_cache_size = 12.5;
  record.memory->process_bytes = {};
  record.memory->unaccounted_bytes = {};
  return record;
}

inline Record failed_record() {
  Record record;
  record.method = "window:budget=8";
  record.policy = "window:budget=8,decode=evict,positions=cache";
  record.model = "tiny-llama";
  record.status = Status::kFailed;
  record.error = "it said \"no\", twice";
  return record;
}

inline TableInfo fixed_table(bool on_cuda) {
  return {.model = "tiny-llama",
          .dataset = "persuasion",
          .protocol = "stream",
          .device = on_cuda ? "cuda:0" : "cpu",
          .on_cuda = on_cuda,
          .methods = {"streaming_256", "baseline", "window:budget=8"}};
}

inline Environment fixed_environment() {
  Environment environment;
  environment.build = build_info();
  environment.cpu.id = "cpu";
  environment.cpu.name = "A processor";
  environment.device = environment.cpu;
  environment.cpu_threads = 2;
  environment.time_utc = "2026-11-21T09:30:00Z";
  environment.command = {"kvgauge", "run"};
  environment.weights = {.name = "tiny-llama", .sha256 = "00ff"};
  environment.texts = {{.name = "persuasion", .sha256 = "ff00"}};
  return environment;
}

}  // namespace kvg::harness
