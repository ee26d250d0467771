#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kvcompress/cache.h"
#include "model/config.h"
#include "model/weights.h"

namespace kvg::model {

/// A model that is loaded; both parts outlive what refers to them.
struct Model {
  const Config& config;
  const Weights& weights;
};

/// What a runner must be able to do.
struct RunShape {
  int batch = 1;
  std::int32_t prompt = 0;           ///< longest prompt; 0: steps alone
  std::int32_t tokens = 0;           ///< most tokens fed to one row, prompt included
  std::int32_t chunk = 0;            ///< prompt tokens computed at once; 0: chosen for the device
  std::int32_t shortest_prompt = 0;  ///< 0: every prompt is `prompt` long
  bool texts = false;                ///< for score_texts() alone; `prompt` is 0
};

/// Device bytes that one policy's run needs, by class.
struct MemoryPlan {
  std::size_t weights = 0;
  std::size_t kv = 0;
  std::size_t activations = 0;
  std::size_t workspace = 0;
  std::size_t observations = 0;

  [[nodiscard]] std::size_t total() const {
    return weights + kv + activations + workspace + observations;
  }
};

/// What one row of a step or of a prompt's last position yields.
struct TokenScore {
  float nll = 0.0F;       ///< of the target; 0 when there was none
  std::int32_t best = 0;  ///< arg-max of the logits
};

inline constexpr std::int32_t kNoTarget = -1;

/// Called between parts of long work with the parts done of all; may be empty.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

/// Feeds tokens to a model through a cache. Everything is allocated at construction; a step is one
/// graph launch and one wait. Runners share nothing but the weights: several live side by side on a
/// backend, each unmoved by what the others do between its own calls.
class Runner {
 public:
  /// What `model` refers to and `backend` outlive the runner. Throws OutOfMemory.
  Runner(const Model& model,
         kernels::Backend& backend,
         const kvcompress::Policy& policy,
         const RunShape& shape);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  /// What the constructor will hold, weights (already loaded) included. Allocates nothing. Throws
  /// InvalidArgument for a run that the model cannot take.
  [[nodiscard]] static MemoryPlan plan(const Config& config,
                                       const kernels::Backend& backend,
                                       const kvcompress::Policy& policy,
                                       const RunShape& shape);

  /// The rows of `shape` beyond which more run together are no faster: those of texts that go
  /// through in one pass need to fill a product, no more.
  [[nodiscard]] static int useful_batch(const Config& config,
                                        const kernels::Backend& backend,
                                        const kvcompress::Policy& policy,
                                        const RunShape& shape);

  /// Empties the cache: the next token has position 0.
  void begin();

  /// Feeds prompts, tokens [batch, n], into the empty cache and keeps what the policy keeps. Yields
  /// the score of targets [batch] (kNoTarget: none) at the last position. Returns once the result
  /// is on the host.
  std::span<const TokenScore> prefill(std::span<const std::int32_t> tokens,
                                      std::span<const std::int32_t> targets);

  /// Feeds one token a row; targets as above.
  std::span<const TokenScore> step(std::span<const std::int32_t> tokens,
                                   std::span<const std::int32_t> targets);

  /// Scores what a cache under this policy makes of up to `batch` texts of at least two tokens,
  /// each token but the first after those before it: [texts][tokens - 1]. Where that follows from
  /// positions alone it is one masked pass over all tokens and no cache is held; else the texts are
  /// stepped through side by side. `done` counts the tokens fed of the longest text.
  [[nodiscard]] std::vector<std::vector<TokenScore>> score_texts(
      std::span<const std::vector<std::int32_t>> texts, const Progress& progress);

  /// How far what this runner makes of up to `batch` texts is from what `baseline` makes of them:
  /// KL(baseline || this) of each next token's distribution, in nats, over the whole vocabulary.
  /// The first `prompt` tokens of every text are fed as its prompt, the others in steps, or all of
  /// them in one pass: [texts][tokens - max(prompt, 1)]. Both runners are of one shape and both
  /// take one pass or both steps, so that equal policies come out at 0. `done` as above.
  [[nodiscard]] std::vector<std::vector<float>> divergences(
      Runner& baseline,
      std::span<const std::vector<std::int32_t>> texts,
      std::size_t prompt,
      const Progress& progress);

  /// Entries that the policy keeps of a text fed in so many steps.
  [[nodiscard]] kvcompress::KeptEntries kept_of_steps(std::int32_t steps) const;

  /// The logits of the last step or prompt: [batch, vocab], f32.
  [[nodiscard]] std::vector<float> logits() const;

  /// Kernels that a step launches; 0 on the cpu.
  [[nodiscard]] std::size_t step_kernels() const;

  [[nodiscard]] bool holds_cache() const;
  /// Throws InvalidArgument when none is held.
  [[nodiscard]] const kvcompress::KvCache& cache() const;

 private:
  struct State;

  std::vector<std::vector<float>> step_divergences(Runner& baseline,
                                                   std::span<const std::vector<std::int32_t>> texts,
                                                   std::size_t prompt,
                                                   const Progress& progress);

  std::unique_ptr<State> state_;
};

}  // namespace kvg::model
