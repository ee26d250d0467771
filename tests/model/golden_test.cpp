// Logits of every family against Hugging Face Transformers (tests/golden/make_goldens.py).

#include <algorithm>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"

namespace kvg::model {
namespace {

// Both sides compute in f32, in different orders: a few roundings through two layers.
constexpr double kTolerance = 1e-4;

#ifdef KVG_TEST_GPU
constexpr const char* kDevice = "cuda";
#else
constexpr const char* kDevice = "cpu";
#endif

struct Golden {
  std::vector<std::int32_t> ids;
  std::vector<std::vector<float>> logits;  ///< [ids, vocab]
};

std::string folder_of(const std::string& name) {
  return std::string(KVG_GOLDEN_DIR "/families/") + name;
}

Golden read_golden(const std::string& name) {
  const auto json = nlohmann::json::parse(std::ifstream(folder_of(name) + "/golden.json"));
  return {.ids = json.at("ids").get<std::vector<std::int32_t>>(),
          .logits = json.at("logits").get<std::vector<std::vector<float>>>()};
}

// The largest difference of a row over its largest logit.
double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  double worst = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(actual.at(i)) - expected[i]));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

class GoldenLogits : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] Runner runner(std::int32_t prompt) const {
    const auto tokens = static_cast<std::int32_t>(golden_.ids.size());
    return {{source_.config, weights_},
            *backend_,
            kvcompress::parse_policy("baseline"),
            {.prompt = prompt, .tokens = tokens}};
  }

  void expect_row(const Runner& runner, std::size_t position) const {
    const std::vector<float> logits = runner.logits();
    ASSERT_EQ(logits.size(), golden_.logits.at(position).size());
    EXPECT_LT(relative_error(logits, golden_.logits[position]), kTolerance)
        << "position " << position;
  }

  std::unique_ptr<kernels::Backend> backend_ =
      kernels::make_backend(kernels::find_device(kDevice), {.compute = DType::kF32});
  ModelSource source_ = find_model(folder_of(GetParam()), 0);
  Weights weights_ = load_weights(source_, *backend_, {});
  Golden golden_ = read_golden(GetParam());
};

TEST_P(GoldenLogits, TokenByToken) {
  Runner steps = runner(0);
  for (std::size_t i = 0; i < golden_.ids.size(); ++i) {
    (void)steps.step({&golden_.ids[i], 1}, {&kNoTarget, 1});
    expect_row(steps, i);
  }
}

TEST_P(GoldenLogits, PromptOfEveryLength) {
  Runner prompts = runner(static_cast<std::int32_t>(golden_.ids.size()));
  for (std::size_t length = 1; length <= golden_.ids.size(); ++length) {
    prompts.begin();
    (void)prompts.prefill({golden_.ids.data(), length}, {&kNoTarget, 1});
    expect_row(prompts, length - 1);
  }
}

TEST_P(GoldenLogits, StepsAfterAPrompt) {
  constexpr std::size_t kPrompt = 9;
  Runner mixed = runner(kPrompt);
  (void)mixed.prefill({golden_.ids.data(), kPrompt}, {&kNoTarget, 1});
  for (std::size_t i = kPrompt; i < golden_.ids.size(); ++i) {
    (void)mixed.step({&golden_.ids[i], 1}, {&kNoTarget, 1});
    expect_row(mixed, i);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families,
    GoldenLogits,
    testing::Values(
        "llama", "llama-3", "llama-linear", "mistral", "qwen2", "qwen3", "neox", "neox-sequential"),
    [](const auto& param_info) {
      std::string name = param_info.param;
      std::ranges::replace(name, '-', '_');
      return name;
    });

}  // namespace
}  // namespace kvg::model
