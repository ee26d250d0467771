// Texts scored whole: all their tokens in one masked pass where a policy allows it, else side by
// side in steps.

#include <algorithm>

#include "kernels/core/error.h"
#include "model/runner_state.h"

namespace kvg::model {
namespace {

using Texts = std::span<const std::vector<std::int32_t>>;
using Scores = std::vector<std::vector<TokenScore>>;

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

}  // namespace

// Layer by layer over the whole texts, as a prompt.
void Runner::State::score_pass(int batch, int length) {
  embed(batch * length);
  const kernels::KvView kv = prompt_view(length);
  for (int layer = 0; layer < config.layers; ++layer) {
    prompt_layer(layer, batch, length, kv);
  }
  const int rows = logit_rows(config, shape);
  for (int first = 0; first < batch * length; first += rows) {
    const int count = std::min(rows, batch * length - first);
    head(residual() + static_cast<std::ptrdiff_t>(first) * config.hidden, 0, count);
    score(first, count);
  }
}

Scores Runner::State::score_at_once(Texts texts) {
  const std::size_t length = longest_feed(texts);
  for (std::size_t row = 0; row < texts.size(); ++row) {
    for (std::size_t i = 0; i < length; ++i) {
      tokens()[row * length + i] = fed_token(texts[row], i);
      targets()[row * length + i] = target_of(texts[row], i);
    }
  }
  score_pass(static_cast<int>(texts.size()), static_cast<int>(length));
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

kvcompress::KeptEntries Runner::kept_of_steps(std::int32_t steps) const {
  const State& state = *state_;
  return kvcompress::kept_of_steps(
      state.policy, cache_shape(state.config, state.shape, state.backend.compute_dtype()), steps);
}

}  // namespace kvg::model
