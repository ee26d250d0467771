#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "datasets/convention.h"
#include "kernels/core/dtype.h"

namespace kvg::harness {

/// Rows run together at most.
inline constexpr std::int32_t kMaxBatch = 4096;

/// A count that the program chooses: as much as memory holds.
inline constexpr std::int32_t kAuto = std::numeric_limits<std::int32_t>::min();

/// What to run: one model under several policies over several texts. Plain values; what was not
/// given stays empty, so that a value without meaning for the protocol can be refused.
struct Experiment {
  std::string model = "tiny-llama";
  std::vector<std::string> datasets{};  ///< shipped names or files; empty: the default text
  std::vector<std::string> policies = {
      "baseline", "streaming_256", "streaming_512", "streaming_1024"};
  std::string protocol = "stream";
  std::optional<std::int32_t> max_tokens{};   ///< of a sample, the BOS included
  std::optional<std::int32_t> num_samples{};  ///< of each text
  std::optional<std::int32_t> prefill{};      ///< split: tokens of the prompt; empty: half a sample
  std::optional<std::int32_t> prompt_len{};   ///< speed: tokens of a prompt
  std::optional<std::int32_t> gen_len{};  ///< speed: tokens generated, the prompt's first included
  std::optional<std::int32_t> batch{};    ///< speed: rows; score: samples run together
  std::optional<std::int32_t> repetitions{};  ///< speed: timed runs
  std::optional<std::int32_t> warmup{};       ///< untimed steps before the first sample of a row
  std::optional<std::int32_t> threads{};      ///< of the cpu; empty: all
  std::optional<std::size_t> memory_limit{};  ///< bytes the device's pool may hold
  std::vector<std::int32_t> contexts{};       ///< task: most tokens of a prompt, BOS included
  std::vector<std::int32_t> depths{};       ///< task: percent of the text before what is asked for
  std::optional<std::string> query{};       ///< task: "aware" or "agnostic"
  std::optional<std::string> convention{};  ///< stream, score: how perplexity is measured
  bool kl = true;          ///< divergences from the baseline's distributions are computed
  std::uint64_t seed = 0;  ///< of random ids, synthetic weights and tasks
  std::string device = "auto";
  std::string dtype = "auto";
  std::string variant{};  ///< what sets it apart from others of its grid: "batch 4"; for titles
};

/// One count that can be given: its flag, where it is kept, what it may be and who uses it.
struct CountInfo {
  std::string_view flag;  ///< "--max-tokens"
  std::optional<std::int32_t> Experiment::*member = nullptr;
  std::int32_t min = 1;
  std::int32_t max = 1;
  std::optional<std::int32_t> default_value;
  std::string_view protocols;    ///< "stream split"; empty: all
  std::string_view automatic{};  ///< of them, those that take kAuto; it is their default
  bool several = false;          ///< a run may be given several values, for a row each
  std::string_view help;
};

/// Every count, in the order of the help.
[[nodiscard]] std::span<const CountInfo> counts();

/// The value given or else its default; only for counts that have one.
[[nodiscard]] std::int32_t value_of(const Experiment& experiment,
                                    std::optional<std::int32_t> Experiment::*member);

/// Checks what can be told without looking at files or devices: the protocol's name, every range,
/// and values that mean nothing together. Throws InvalidArgument naming the flag.
void check(const Experiment& experiment);

/// What protocol `task` asks, given or default.
struct TaskChoice {
  std::vector<std::int32_t> contexts = {1000};
  std::vector<std::int32_t> depths = {0, 25, 50, 75, 100};
  std::string query = "aware";  ///< whether the cut has seen the question
};

[[nodiscard]] TaskChoice task_choice(const Experiment& experiment);

/// Rows of a batch, 1 where `auto` is left to a plan.
[[nodiscard]] std::int32_t given_batch(const Experiment& experiment);

/// Of --dtype; empty: auto. Throws InvalidArgument naming what exists.
[[nodiscard]] std::optional<DType> given_dtype(const Experiment& experiment);

/// True of a model of random weights, which has no tokenizer.
[[nodiscard]] bool is_synthetic(const Experiment& experiment);

/// A number of samples that no text has.
inline constexpr std::int32_t kAllSamples = std::numeric_limits<std::int32_t>::max();

/// How perplexity is measured, given or default, its window of --max-tokens filled in.
[[nodiscard]] datasets::Convention convention_of(const Experiment& experiment);

/// Samples cut from each text: as many as were asked for, or kAllSamples where the convention takes
/// the whole text.
[[nodiscard]] std::int32_t most_samples(const Experiment& experiment);

/// One thing that a row was measured with, as its record tells it.
struct Setting {
  std::string name;  ///< "max_tokens": the flag's, with '_'
  std::variant<std::monostate, std::int64_t, std::string> value;
};

/// The counts that mean something to the experiment's protocol, given or default.
[[nodiscard]] std::vector<Setting> settings_of(const Experiment& experiment);

/// "8GiB", "512MiB", "1.5GB" (decimal), or plain bytes. Throws InvalidArgument for anything else.
[[nodiscard]] std::size_t parse_size(std::string_view text);

}  // namespace kvg::harness
