#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text.h"
#include "kernels/backend.h"
#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"
#include "model/tokenizer.h"

namespace kvg::testing_support {

/// Feeds texts of one length side by side, a row of a batch each, `prompt` ids at once and the
/// others one by one, scoring each next one; the last id is a target alone.
inline std::vector<std::vector<model::TokenScore>> stream_rows(
    model::Runner& runner,
    std::span<const std::vector<std::int32_t>> rows,
    std::size_t prompt = 0) {
  const auto ids_at = [&](std::size_t at) {
    std::vector<std::int32_t> ids;
    for (const auto& row : rows) {
      ids.push_back(row[at]);
    }
    return ids;
  };
  std::vector<std::vector<model::TokenScore>> scores(rows.size());
  const auto keep = [&](std::span<const model::TokenScore> step) {
    for (std::size_t row = 0; row < rows.size(); ++row) {
      scores[row].push_back(step[row]);
    }
  };
  runner.begin();
  if (prompt > 0) {
    std::vector<std::int32_t> prompts;
    for (const auto& row : rows) {
      prompts.insert(prompts.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(prompt));
    }
    keep(runner.prefill(prompts, ids_at(prompt)));
  }
  for (std::size_t at = prompt; at + 1 < rows.front().size(); ++at) {
    keep(runner.step(ids_at(at), ids_at(at + 1)));
  }
  return scores;
}

/// One text.
inline std::vector<model::TokenScore> stream(model::Runner& runner,
                                             std::span<const std::int32_t> ids) {
  const std::vector<std::int32_t> row(ids.begin(), ids.end());
  return stream_rows(runner, {&row, 1}).front();
}

/// The logarithm of the perplexity.
inline double mean_nll(std::span<const model::TokenScore> scores) {
  double sum = 0.0;
  for (const model::TokenScore& score : scores) {
    sum += static_cast<double>(score.nll);
  }
  return sum / static_cast<double>(scores.size());
}

/// How texts are fed to a policy.
struct Feeding {
  std::size_t tokens = 0;  ///< of each text
  std::size_t prompt = 0;
  /// After the texts that are fed side by side.
  std::function<void(const model::Runner&)> done = [](const model::Runner&) {};
};

/// A shipped checkpoint loaded on a device, and texts as its token ids.
class ShippedModel {
 public:
  ShippedModel(std::string_view name, std::string_view device, DType compute)
      : backend_(kernels::make_backend(
            kernels::find_device(device),
            {.compute = compute, .threads = device == "cpu" ? 1 : 0})),  // others run beside it
        source_(model::find_model(name, 0)),
        weights_(model::load_weights(source_, *backend_, {})),
        tokenizer_(model::load_tokenizer(source_.folder)) {}

  /// The first `count` ids of a shipped text, BOS included where the model has one.
  [[nodiscard]] std::vector<std::int32_t> ids(std::string_view text, std::size_t count) const {
    std::vector<std::int32_t> ids;
    if (const auto bos = tokenizer_->bos()) {
      ids.push_back(*bos);
    }
    // Enough characters for `count` tokens, cut where a character begins.
    std::string content = datasets::load_text(text).content;
    std::size_t end = std::min(content.size(), 10 * count);
    while (end < content.size() && (static_cast<unsigned char>(content[end]) & 0xC0U) == 0x80U) {
      --end;
    }
    content.resize(end);
    const std::vector<std::int32_t> rest = tokenizer_->encode(content);
    ids.insert(ids.end(), rest.begin(), rest.end());
    ids.resize(count);
    return ids;
  }

  [[nodiscard]] std::unique_ptr<model::Runner> runner(std::string_view policy,
                                                      const model::RunShape& shape) {
    const auto feed = shape.prompt > 0 ? kvcompress::Feed::kPrompt : kvcompress::Feed::kSteps;
    return std::make_unique<model::Runner>(model::Model{source_.config, weights_},
                                           *backend_,
                                           kvcompress::parse_policy(policy, feed),
                                           shape);
  }

  /// The scores of each text: with the baseline one after another, as users feed them, with other
  /// policies side by side, which reads the weights once.
  [[nodiscard]] std::vector<std::vector<model::TokenScore>> scores(
      std::string_view policy, std::span<const char* const> texts, const Feeding& feeding) {
    std::vector<std::vector<std::int32_t>> rows;
    for (const char* text : texts) {
      rows.push_back(ids(text, feeding.tokens));
    }
    const std::size_t batch = policy == "baseline" ? 1 : rows.size();
    const auto fed = runner(policy,
                            {.batch = static_cast<int>(batch),
                             .prompt = static_cast<std::int32_t>(feeding.prompt),
                             .tokens = static_cast<std::int32_t>(feeding.tokens) - 1});
    std::vector<std::vector<model::TokenScore>> scores;
    for (std::size_t first = 0; first < rows.size(); first += batch) {
      for (auto& row : stream_rows(*fed, std::span(rows).subspan(first, batch), feeding.prompt)) {
        scores.push_back(std::move(row));
      }
      feeding.done(*fed);
    }
    return scores;
  }

  [[nodiscard]] kernels::Backend& backend() { return *backend_; }
  [[nodiscard]] const model::Config& config() const { return source_.config; }

 private:
  std::unique_ptr<kernels::Backend> backend_;
  model::ModelSource source_;
  model::Weights weights_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
};

}  // namespace kvg::testing_support
