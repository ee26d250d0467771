// Texts scored whole, or compared between two runners: all their tokens in one masked pass where a
// policy allows it, else side by side in steps.

#include <algorithm>

#include "kernels/core/error.h"
#include "model/runner_state.h"

namespace kvg::model {
namespace {

using Texts = std::span<const std::vector<std::int32_t>>;
using Scores = std::vector<std::vector<TokenScore>>;
using Divergences = std::vector<std::vector<float>>;

// Token `at` of a text to be fed, and what it is scored against; any token, unscored, once only the
// text's last is left.
std::int32_t fed_token(const std::vector<std::int32_t>& text, std::size_t at) {
  return at + 1 < text.size() ? text[at] : 0;
}
std::int32_t target_of(const std::vector<std::int32_t>& text, std::size_t at) {
  return at + 1 < text.size() ? text[at + 1] : kNoTarget;
}

// Feeds of the longest text.
std::size_t longest_feed(Texts texts) {
  std::size_t longest = 0;
  for (const std::vector<std::int32_t>& text : texts) {
    KVG_EXPECT(text.size() >= 2, "a text has a token to score");
    longest = std::max(longest, text.size() - 1);
  }
  return longest;
}

// The first `prompt` tokens of every text; rows beyond the texts repeat the first.
std::vector<std::int32_t> prompts_of(Texts texts, std::size_t batch, std::size_t prompt) {
  std::vector<std::int32_t> prompts;
  for (std::size_t row = 0; row < batch; ++row) {
    const std::vector<std::int32_t>& text = texts[row < texts.size() ? row : 0];
    KVG_EXPECT(text.size() > prompt, "a text has a token beyond its prompt");
    prompts.insert(prompts.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(prompt));
  }
  return prompts;
}

}  // namespace

// Layer by layer over the whole texts, as a prompt.
void Runner::State::run_pass(int batch, int length) {
  embed(0, batch * length);
  const kernels::KvView kv = prompt_view(length);
  for (int layer = 0; layer < config.layers; ++layer) {
    prompt_layer(layer, batch, length, kv);
  }
}

void Runner::State::pass_logits(int first, int count) const {
  head(residual() + static_cast<std::ptrdiff_t>(first) * config.hidden, 0, count);
}

void Runner::State::place_texts(Texts texts, std::size_t length) {
  for (std::size_t row = 0; row < texts.size(); ++row) {
    for (std::size_t i = 0; i < length; ++i) {
      tokens()[row * length + i] = fed_token(texts[row], i);
      targets()[row * length + i] = target_of(texts[row], i);
    }
  }
}

Scores Runner::State::score_at_once(Texts texts) {
  const std::size_t length = longest_feed(texts);
  const int all_rows = static_cast<int>(texts.size() * length);
  const int rows = logit_rows(config, shape);
  place_texts(texts, length);
  run_pass(static_cast<int>(texts.size()), static_cast<int>(length));
  for (int first = 0; first < all_rows; first += rows) {
    const int count = std::min(rows, all_rows - first);
    pass_logits(first, count);
    score(first, count);
  }
  const std::span<const TokenScore> all = collect(texts.size() * length);
  Scores result;
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const auto own = all.subspan(row * length, texts[row].size() - 1);
    result.emplace_back(own.begin(), own.end());
  }
  return result;
}

Scores Runner::score_texts(Texts texts, const Progress& progress) {
  State& state = *state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  KVG_EXPECT(state.shape.texts && !texts.empty() && texts.size() <= batch,
             "the runner was planned for so many texts");
  const std::size_t length = longest_feed(texts);
  KVG_EXPECT(length <= static_cast<std::size_t>(state.shape.tokens),
             "the runner was planned for the texts");
  state.backend.use_workspace(*state.workspace);
  if (state.pass) {
    Scores scores = state.score_at_once(texts);
    if (progress) {
      progress(length, length);
    }
    return scores;
  }
  begin();
  Scores scores(texts.size());
  std::vector<std::int32_t> tokens(batch, 0);
  std::vector<std::int32_t> targets(batch, kNoTarget);
  for (std::size_t at = 0; at < length; ++at) {
    for (std::size_t row = 0; row < texts.size(); ++row) {
      tokens[row] = fed_token(texts[row], at);
      targets[row] = target_of(texts[row], at);
    }
    const std::span<const TokenScore> now = step(tokens, targets);
    for (std::size_t row = 0; row < texts.size(); ++row) {
      if (targets[row] != kNoTarget) {
        scores[row].push_back(now[row]);
      }
    }
    if (progress) {
      progress(at + 1, length);
    }
  }
  return scores;
}

void Runner::State::compare(const State& baseline, int first, int rows) const {
  backend.compare({.reference = baseline.logits(),
                   .logits = logits(),
                   .kl = nll() + first,
                   .rows = rows,
                   .vocab = config.vocab});
}

Divergences Runner::State::compare_at_once(State& baseline, Texts texts) {
  const std::size_t length = longest_feed(texts);
  for (State* const side : {&baseline, this}) {
    backend.use_workspace(*side->workspace);
    side->place_texts(texts, length);
    side->run_pass(static_cast<int>(texts.size()), static_cast<int>(length));
  }
  // Logits of a chunk of rows are all that either side holds of them.
  const int all_rows = static_cast<int>(texts.size() * length);
  const int rows = logit_rows(config, shape);
  for (int first = 0; first < all_rows; first += rows) {
    const int count = std::min(rows, all_rows - first);
    for (const State* const side : {&baseline, this}) {
      backend.use_workspace(*side->workspace);
      side->pass_logits(first, count);
    }
    compare(baseline, first, count);
  }
  backend.synchronize();
  Divergences result;
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const float* const own = nll() + row * length;
    result.emplace_back(own, own + (texts[row].size() - 1));
  }
  return result;
}

Divergences Runner::divergences(Runner& baseline,
                                Texts texts,
                                std::size_t prompt,
                                const Progress& progress) {
  State& state = *state_;
  State& other = *baseline.state_;
  KVG_EXPECT(other.shape.batch == state.shape.batch && other.shape.tokens == state.shape.tokens &&
                 other.pass.has_value() == state.pass.has_value(),
             "both runners are of one shape");
  KVG_EXPECT(!texts.empty() && texts.size() <= static_cast<std::size_t>(state.shape.batch),
             "the runner was planned for so many texts");
  const std::size_t length = longest_feed(texts);
  KVG_EXPECT(length <= static_cast<std::size_t>(state.shape.tokens),
             "the runner was planned for the texts");
  if (!state.pass) {
    return step_divergences(baseline, texts, prompt, progress);
  }
  Divergences all = state.compare_at_once(other, texts);
  if (progress) {
    progress(length, length);
  }
  return all;
}

Divergences Runner::step_divergences(Runner& baseline,
                                     Texts texts,
                                     std::size_t prompt,
                                     const Progress& progress) {
  State& state = *state_;
  State& other = *baseline.state_;
  const auto batch = static_cast<std::size_t>(state.shape.batch);
  const std::size_t length = longest_feed(texts);
  baseline.begin();
  begin();
  Divergences all(texts.size());
  const auto keep = [&](std::size_t fed) {
    state.compare(other, 0, state.shape.batch);
    state.backend.synchronize();
    for (std::size_t row = 0; row < texts.size(); ++row) {
      if (fed < texts[row].size()) {
        all[row].push_back(state.nll()[row]);
      }
    }
    if (progress) {
      progress(fed, length);
    }
  };
  const std::vector<std::int32_t> no_targets(batch, kNoTarget);
  if (prompt > 0) {
    const std::vector<std::int32_t> prompts = prompts_of(texts, batch, prompt);
    (void)baseline.prefill(prompts, no_targets);
    (void)prefill(prompts, no_targets);
    keep(prompt);
  }
  std::vector<std::int32_t> tokens(batch, 0);
  for (std::size_t at = prompt; at < length; ++at) {
    for (std::size_t row = 0; row < texts.size(); ++row) {
      tokens[row] = fed_token(texts[row], at);
    }
    other.enqueue_tokens(tokens, no_targets);
    state.enqueue_tokens(tokens, no_targets);
    keep(at + 1);
  }
  return all;
}

kvcompress::KeptEntries Runner::kept_of_steps(std::int32_t steps) const {
  const State& state = *state_;
  return kvcompress::kept_of_steps(
      state.policy, cache_shape(state.config, state.shape, state.backend.compute_dtype()), steps);
}

}  // namespace kvg::model
