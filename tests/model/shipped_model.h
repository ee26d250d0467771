#pragma once

#include <algorithm>
#include <cstdint>
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

/// A shipped checkpoint loaded on a device, and texts as its token ids.
class ShippedModel {
 public:
  ShippedModel(std::string_view name, std::string_view device, DType compute)
      : backend_(kernels::make_backend(kernels::find_device(device), {.compute = compute})),
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

  [[nodiscard]] kernels::Backend& backend() { return *backend_; }
  [[nodiscard]] const model::Config& config() const { return source_.config; }

 private:
  std::unique_ptr<kernels::Backend> backend_;
  model::ModelSource source_;
  model::Weights weights_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
};

/// Feeds ids one by one, scoring each next one; the last id is a target alone.
inline std::vector<model::TokenScore> stream(model::Runner& runner,
                                             std::span<const std::int32_t> ids) {
  std::vector<model::TokenScore> scores;
  runner.begin();
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    scores.push_back(runner.step(ids.subspan(i, 1), ids.subspan(i + 1, 1))[0]);
  }
  return scores;
}

}  // namespace kvg::testing_support
