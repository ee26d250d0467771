#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/experiment.h"
#include "kernels/ceilings.h"
#include "kernels/device.h"
#include "kvcompress/cache.h"

namespace kvg::harness {

/// What a model answered to one question of a task.
struct Answer {
  std::string task;
  std::optional<std::int32_t> depth;   ///< percent of the text before what is asked for
  std::string prompt_sha256;           ///< of the prompt's text
  std::string text;                    ///< as generated, or the likeliest choice; need not be UTF-8
  double score = 0.0;                  ///< 0 to 1
  std::string metric{};                ///< that it is the score of
  std::int32_t removed_tokens = 0;     ///< from the middle of a prompt that was too long
  std::optional<double> score_norm{};  ///< choices: by the mean of a character
  std::vector<double> log_likelihoods{};  ///< of the choices
};

/// One sample of a row (speed: one repetition) as it was measured. Times in seconds.
struct Sample {
  std::int32_t tokens = 0;              ///< of the sample; speed: prompt and generated of a row
  std::int64_t eval_tokens = 0;         ///< scored; speed: generated, all rows
  std::optional<double> nll_sum;        ///< over the scored tokens; empty: nothing is scored
  std::optional<std::int64_t> correct;  ///< scored tokens that were the arg-max
  std::optional<double> ttft;           ///< first step, or prompt, cut and first logits
  std::optional<double> tpot;           ///< mean of the later steps; empty: there was none
  double total_time = 0.0;              ///< all steps
  double final_cache_size = 0.0;        ///< mean entries per layer and kv_head at the end
  std::int64_t peak_bytes = 0;          ///< the allocator's high-water mark while it ran
  std::vector<double> step_times;       ///< of the later steps, one by one
  std::optional<Answer> answer{};       ///< task alone
};

/// Bytes of a device during a row. Peaks count from just before the row's runner is built, so that
/// weights, cache, activations and scratch are all in them.
struct MemoryFigures {
  std::int64_t weights_bytes = 0;
  std::int64_t kv_bytes = 0;
  std::int64_t activations_bytes = 0;
  std::int64_t workspace_bytes = 0;
  std::int64_t observations_bytes = 0;            ///< what a cache keeps beside its entries
  std::int64_t pool_used_peak_bytes = 0;          ///< as the allocator counts, rounding included
  std::int64_t pool_reserved_peak_bytes = 0;      ///< physical memory behind the pool
  std::optional<std::int64_t> process_bytes;      ///< all that the process holds; empty: unknown
  std::optional<std::int64_t> unaccounted_bytes;  ///< process less reserved; may be negative
};

/// How well a stretch of positions was predicted, over all samples.
struct PositionNll {
  std::int32_t from = 0;  ///< first position of a sample, its BOS at 0
  std::int32_t to = 0;    ///< the one after the last
  double nll = 0.0;       ///< mean of the scored tokens there
};

enum class Status { kOk, kFailed };

/// One row: a model, a text and a policy, with everything measured of it. What was not measured, or
/// has no meaning here, is empty.
struct Record {
  std::string method;            ///< the policy as given
  std::string policy;            ///< its canonical spec
  std::string budget_requested;  ///< "256", or "keep=0.25"; empty: everything
  std::string model;
  std::string dataset;
  std::string protocol;
  std::string device;  ///< "cpu", "cuda:0"
  std::string dtype;   ///< of activations and cache
  bool on_cuda = false;
  std::int32_t batch = 1;
  std::uint64_t seed = 0;
  std::string weights_sha256;                     ///< of the weight files, or "synthetic:SEED"
  std::string dataset_sha256;                     ///< of the text; empty: random ids
  std::vector<Setting> settings;                  ///< what else the row was measured with
  std::string query;                              ///< task: "aware" or "agnostic"
  std::optional<std::int64_t> context;            ///< task: most tokens of a prompt
  std::optional<std::int64_t> truncated_samples;  ///< task: whose prompts were longer

  std::optional<double> ttft;
  std::optional<double> ttft_low;  ///< of the Student 95 % interval of the samples' mean
  std::optional<double> ttft_high;
  std::optional<double> tpot;
  std::optional<double> tpot_low;
  std::optional<double> tpot_high;
  std::optional<double> throughput;
  std::optional<double> prefill_throughput;  ///< speed alone
  std::optional<double> decode_throughput;   ///< speed alone
  std::optional<double> itl_p50;             ///< of the later steps, all samples pooled
  std::optional<double> itl_p90;
  std::optional<double> itl_p99;
  std::optional<double> total_time;
  std::optional<double> perplexity;
  std::optional<double> perplexity_stderr;
  std::optional<double> bits_per_byte;       ///< of the text that was scored
  std::vector<PositionNll> nll_by_position;  ///< equal stretches of a sample's scored positions
  std::optional<double> accuracy;            ///< task: the mean over tasks of their mean scores
  std::optional<double> accuracy_low;        ///< of its bootstrap 95 % interval over samples
  std::optional<double> accuracy_norm;       ///< choices: by the mean of a character
  std::optional<double> accuracy_high;       ///< likewise
  std::string worst_task;                    ///< task: the one with the lowest mean score
  std::optional<double> worst_task_accuracy;
  /// Against the baseline's row of the same run, token by token; empty without one.
  std::optional<double> delta_nll;  ///< mean of the policy's less the baseline's, in nats
  std::optional<double> delta_nll_stderr;
  std::optional<double> kl_mean;  ///< of the next token's distribution, KL(baseline || policy)
  std::optional<double> kl_p99;
  std::optional<double> top1_agreement;  ///< share of tokens whose arg-max is the baseline's
  std::int64_t eval_tokens = 0;
  std::optional<double> final_cache_size;
  std::optional<kvcompress::KeptEntries>
      kept_entries;                     ///< right after a prompt's cut, else at the end
  std::optional<double> kept_fraction;  ///< of the prompt, else of all tokens fed
  std::optional<double>
      bits_per_element;  ///< of a cached element as held: codes, scales, what waits
  std::optional<std::int64_t> kv_bytes_read_per_step;  ///< by attention, after the last step
  std::optional<MemoryFigures> memory;
  std::int64_t predicted_peak_bytes = 0;
  std::optional<std::int64_t> sm_clock_mhz;  ///< right after the last step; CUDA with NVML alone
  std::optional<std::int64_t> sm_clock_before_mhz;  ///< before the first
  std::optional<bool> throttled;  ///< the card was held down around some sample; empty: unknown
  std::string throttle_reasons;   ///< NVML's, by name; empty: none, or unknown

  std::optional<kernels::Ceilings> calibration;  ///< of the device, as measured by this process
  std::optional<std::int64_t> bytes_per_step;    ///< weights and cache read, entries appended: mean
  std::optional<double> flops_prefill;           ///< of the first feed, all rows: mean over samples
  std::optional<double> bound_tpot;              ///< seconds; no program on this device is faster
  std::optional<double> bound_ttft;
  std::optional<double> fraction_of_bound_tpot;  ///< bound over measured
  std::optional<double> fraction_of_bound_ttft;
  /// A baseline's bytes per step over this policy's, at the same shape.
  std::optional<double> compression_speedup_bound;
  std::optional<double> spread;      ///< see keep_spread(); empty: one sample alone
  std::optional<bool> noisy;         ///< the spread is above 5 %
  std::optional<bool> launch_bound;  ///< launching takes longer than the bound; empty: no launches
  std::vector<Sample> samples;

  Status status = Status::kOk;
  std::string error;  ///< one line; empty unless the row failed
};

/// A record of what an experiment and its device alone say.
[[nodiscard]] Record record_of(const Experiment& experiment, const kernels::DeviceInfo& device);

}  // namespace kvg::harness
