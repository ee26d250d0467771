#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/experiment.h"
#include "harness/record.h"
#include "model/runner.h"

namespace kvg::harness {

/// How well a model foresees one continuation of a prompt.
struct Foreseen {
  double log_likelihood = 0.0;  ///< of all its tokens
  bool greedy = true;           ///< each of them was the arg-max
};

/// What a sample asks, and how its answer is judged: by what is generated, or by the likelihoods of
/// continuations where there are any.
struct Question {
  std::size_t context_tokens = 0;     ///< of the prompt, before what is asked
  std::int32_t answer_tokens = 0;     ///< to generate at most
  std::vector<std::int32_t> stops{};  ///< ids that end what is generated, and are no part of it
  std::function<Answer(const std::vector<std::int32_t>& generated)> grade;
  std::vector<std::vector<std::int32_t>> continuations{};  ///< ids; none is empty
  std::function<Answer(const std::vector<Foreseen>& continuations)> judge{};
};

/// What is fed to a model: the stretches of one text, or random ids.
struct Workload {
  std::string dataset{};  ///< shipped name, path, or "random"
  std::string sha256{};   ///< of the text's file; empty for random ids
  bool scored = true;     ///< false: random ids, whose likelihoods mean nothing
  std::vector<std::vector<std::int32_t>> samples{};  ///< token ids; speed: [batch, prompt_len]
  std::int32_t repeats = 1;                          ///< times that every sample is run
  std::vector<std::int32_t> first_scored{};          ///< of each sample; empty: 1 of all
  std::vector<Question> questions{};                 ///< task: of every sample
  std::optional<std::int32_t> context{};             ///< task: most tokens of a prompt
  /// Bytes of text that tokens from inside a sample stand for; empty: there is no text.
  std::function<std::size_t(std::span<const std::int32_t> ids)> bytes_of{};
  std::vector<Setting> settings{};  ///< what the dataset decides in place of the experiment
  std::string refused{};            ///< why it cannot be made: then it has a name and no samples
};

/// One sample as it went by.
struct Trace {
  std::int32_t tokens = 0;         ///< of the sample; speed: prompt and generated of a row
  std::int64_t eval_tokens = 0;    ///< scored; speed: generated, all rows
  std::vector<double> steps;       ///< seconds of each; the first includes the prompt if any
  double share_seconds = 0.0;      ///< without steps: its share of the time of what ran together
  std::vector<double> nll;         ///< of the scored tokens, the last ones of the sample
  std::vector<std::int32_t> best;  ///< the arg-max in place of each
  std::int64_t correct = 0;        ///< of them, those that were the arg-max
  double final_cache_size = 0.0;   ///< mean entries per layer and kv_head
  kvcompress::KeptEntries kept{};  ///< right after the prompt's cut; without a prompt, at the end
  double kept_fraction = 0.0;      ///< kept.mean of the prompt's tokens; without one, of all fed
  std::optional<double> step_read_bytes;  ///< of the cache, in the step after the last
  std::int32_t first_tokens = 1;          ///< of a row in the first feed
  double later_read_bytes = 0.0;          ///< sum over the later steps: of the cache
  double later_tokens = 0.0;              ///< likewise: fed to a row before the step
  std::int64_t peak_bytes = 0;            ///< the allocator's high-water mark while it ran
  std::optional<Answer> answer{};         ///< task: what was generated
};

/// Called between timed steps with the steps done of all.
using Tick = std::function<void(std::size_t done, std::size_t total)>;

/// Samples to run together: as many as the runner has rows with Protocol::quality_only, else one.
struct Drive {
  model::Runner& runner;  ///< its cache is emptied first
  const Experiment& experiment;
  std::span<const std::vector<std::int32_t>> samples;
  std::span<const std::int32_t> first_scored{};  ///< of the samples; empty: 1 of all
  std::span<const Question> questions{};         ///< of the samples, where they ask something
  std::size_t max_steps;  ///< stops early after so many steps (and a prompt): a warm-up
  const Tick& tick;       ///< may be empty

  [[nodiscard]] std::span<const std::int32_t> ids() const { return samples.front(); }
  [[nodiscard]] std::size_t first_scored_of(std::size_t sample) const {
    return first_scored.empty() ? 1 : static_cast<std::size_t>(first_scored[sample]);
  }
};

/// One row of the table of protocols: how a sample is fed and what its figures mean.
struct Protocol {
  std::string_view name;
  std::string_view summary;
  bool reads_text = true;  ///< false: random ids of its own lengths
  kvcompress::Feed feed = kvcompress::Feed::kSteps;
  bool scores_text = false;   ///< token by token, so that a row can be set against the baseline's
  bool quality_only = false;  ///< no step is timed, so none warms up and samples run side by side

  /// What a runner must be able to take for these samples; with quality_only the most rows.
  model::RunShape (*shape)(const Experiment& experiment, const Workload& workload) = nullptr;
  /// Feeds the samples; a trace each. Throws Error when a likelihood is not a number.
  std::vector<Trace> (*run)(const Drive& drive) = nullptr;
  /// Fills the figures of speed and quality of a row from at least one trace.
  void (*summarise)(const Workload& workload,
                    std::span<const Trace> traces,
                    Record& record) = nullptr;
  /// Tokens that a sample needs, so that something is scored.
  std::int32_t (*least_tokens)(const Experiment& experiment) = nullptr;
};

/// Every protocol, in the order of the help.
[[nodiscard]] std::span<const Protocol> protocols();

/// Throws InvalidArgument naming what exists.
[[nodiscard]] const Protocol& find_protocol(std::string_view name);

}  // namespace kvg::harness
