#include "harness/bounds.h"

#include <gtest/gtest.h>
#include <string>

#include "model/checkpoint.h"
#include "model/families/families.h"

namespace kvg::harness {
namespace {

constexpr double kReadBytes = 4.67e12;
constexpr double kFlops = 790e12;

// qkv 8 x 4, output 4 x 4, gate and up 12 x 4, down 4 x 6: 120 parameters; head and embedding of 40
// each; three norms of 4.
model::Config tiny() {
  model::Config config;
  config.family = &model::kLlama;
  config.layers = 1;
  config.hidden = 4;
  config.heads = {.heads = 2, .kv_heads = 1, .head_dim = 2};
  config.intermediate = 6;
  config.vocab = 10;
  return config;
}

model::Config shipped(const std::string& name) {
  return model::find_model("synthetic:" + name, 0).config;
}

TEST(StepWeightBytes, CountsRowsOfTheEmbeddingAlone) {
  // 160 parameters of 2 bytes and 12 of 4; rows of 8 bytes.
  EXPECT_EQ(step_weight_bytes(tiny(), DType::kBF16, 1), 368.0 + 8.0);
  EXPECT_EQ(step_weight_bytes(tiny(), DType::kBF16, 5), 368.0 + 40.0);
  EXPECT_EQ(step_weight_bytes(tiny(), DType::kF32, 1), 160.0 * 4.0 + 48.0 + 16.0);
}

TEST(StepWeightBytes, CountsATiedEmbeddingOnceAndWhole) {
  model::Config config = tiny();
  config.tied_embeddings = true;
  EXPECT_EQ(step_weight_bytes(config, DType::kBF16, 7), 368.0);
}

TEST(TokenKvBytes, CountsKeysAndValuesOfEveryLayer) {
  EXPECT_EQ(token_kv_bytes(tiny(), 16.0), 8.0);
  EXPECT_EQ(token_kv_bytes(tiny(), 5.0), 2.5);
}

TEST(PrefillFlops, AddsMatricesAttentionAndOneRowOfTheHead) {
  // 2 x 120 x 3, 4 x 2 x 2 x 3 x 3 / 2, 2 x 40.
  EXPECT_EQ(prefill_flops(tiny(), 1, 3), 720.0 + 72.0 + 80.0);
  EXPECT_EQ(prefill_flops(tiny(), 2, 3), 2.0 * 872.0);
}

TEST(StepFlops, CountsTwoAParameterAndRow) {
  EXPECT_EQ(step_flops(tiny(), 3), 2.0 * 3.0 * 160.0);
}

// Against figures worked out elsewhere, which are given with three digits.
double decode_ms(const std::string& name, int batch, double entries) {
  const model::Config config = shipped(name);
  const double bytes = step_weight_bytes(config, DType::kBF16, batch) +
                       batch * entries * token_kv_bytes(config, 16.0);
  return bytes / kReadBytes * 1e3;
}

double prefill_ms(const std::string& name, double tokens) {
  return prefill_flops(shipped(name), 1, tokens) / kFlops * 1e3;
}

TEST(Bounds, AreThoseOfKnownModels) {
  EXPECT_NEAR(decode_ms("llama-3.1-8b", 1, 2000), 3.27, 0.005);
  EXPECT_NEAR(decode_ms("pythia-2.8b", 1, 2000), 1.27, 0.005);
  EXPECT_NEAR(decode_ms("pythia-2.8b", 1, 256), 1.15, 0.005);
  EXPECT_NEAR(decode_ms("llama-3.2-1b", 1, 2000), 0.54, 0.005);
  EXPECT_NEAR(decode_ms("llama-3.1-8b", 32, 2000) * kReadBytes / 1e12, 23.4, 0.05);
  EXPECT_NEAR(token_kv_bytes(shipped("llama-3.1-8b"), 16.0) * 32000, 4.2e9, 0.01e9);
  EXPECT_NEAR(prefill_ms("llama-3.1-8b", 2000), 36.7, 0.05);
  EXPECT_NEAR(prefill_ms("llama-3.1-8b", 32000), 905.0, 0.5);
  EXPECT_NEAR(prefill_ms("pythia-2.8b", 2000), 13.6, 0.05);
}

TEST(LimitsOf, RaisesASlowCalibrationOfAKnownCardAlone) {
  kernels::DeviceInfo card;
  card.name = "NVIDIA H200";
  const kernels::Ceilings slow{.read_gbps = 4000.0, .gemm_tflops = 500.0};
  EXPECT_EQ(limits_of(slow, card, DType::kBF16).bytes, 4600e9);
  EXPECT_EQ(limits_of(slow, card, DType::kF16).flops, 770e12);
  EXPECT_EQ(limits_of(slow, card, DType::kF32).flops, 500e12) << "no such speed in f32";
  EXPECT_EQ(limits_of({}, card, DType::kBF16).bytes, 4600e9);
  const kernels::Ceilings fast{.read_gbps = 4700.0, .gemm_tflops = 800.0};
  EXPECT_EQ(limits_of(fast, card, DType::kBF16).bytes, 4700e9);
  EXPECT_EQ(limits_of(fast, card, DType::kBF16).flops, 800e12);
  card.name = "another card";
  EXPECT_EQ(limits_of(slow, card, DType::kBF16).bytes, 4000e9);
  EXPECT_FALSE(limits_of({}, card, DType::kBF16).bytes);
}

TEST(BoundSeconds, IsTheSlowerOfMemoryAndArithmetic) {
  const Limits limits{.bytes = 10.0, .flops = 100.0};
  EXPECT_EQ(bound_seconds(limits, 20.0, 100.0), 2.0);
  EXPECT_EQ(bound_seconds(limits, 20.0, 300.0), 3.0);
  EXPECT_FALSE(bound_seconds({.bytes = 10.0, .flops = {}}, 20.0, 100.0));
}

// Two samples of the tiny model in bf16: prompts of 3 and 5 tokens, two steps and one.
class KeepBounds : public testing::Test {
 protected:
  KeepBounds() : traces_(2) {
    traces_[0].first_tokens = 3;
    traces_[0].steps = {9.0, 1.0, 1.0};
    traces_[0].later_read_bytes = 10.0 + 12.0;
    traces_[0].later_tokens = 3 + 4;
    traces_[1].first_tokens = 5;
    traces_[1].steps = {9.0, 1.0};
    traces_[1].later_read_bytes = 14.0;
    traces_[1].later_tokens = 5;
    record_.ttft = 9.0;
    record_.tpot = 1.0;
    record_.bits_per_element = 8.0;
    // 100 bytes and 1000 operations a second.
    record_.calibration =
        kernels::Ceilings{.read_gbps = 100e-9, .gemm_tflops = 1000e-12, .kernel_us = 1e6};
  }

  void keep(std::size_t step_kernels) {
    const model::Config config = tiny();
    keep_bounds({.config = config,
                 .device = device_,
                 .matrices = DType::kBF16,
                 .compute = DType::kBF16,
                 .step_kernels = step_kernels},
                traces_,
                record_);
  }

  kernels::DeviceInfo device_;
  std::vector<Trace> traces_;
  Record record_;
};

TEST_F(KeepBounds, HoldsStepsToBytesAndPromptsToOperations) {
  keep(3);
  // 376 of weights, (10 + 12 + 14) / 3 read, 4 appended.
  EXPECT_EQ(record_.bytes_per_step, 392);
  EXPECT_DOUBLE_EQ(*record_.bound_tpot, 3.92);
  EXPECT_DOUBLE_EQ(*record_.fraction_of_bound_tpot, 3.92);
  // A baseline reads (3 + 4 + 5) / 3 tokens of 8 bytes and appends one.
  EXPECT_DOUBLE_EQ(*record_.compression_speedup_bound, (376.0 + 32.0 + 8.0) / 392.0);
  // Of 3 tokens 872; of 5: 1200 + 200 + 80. Weights are read in 4 seconds.
  EXPECT_DOUBLE_EQ(*record_.flops_prefill, (872.0 + 1480.0) / 2.0);
  EXPECT_DOUBLE_EQ(*record_.bound_ttft, (368.0 + 4.0 * 8.0) / 100.0);
  EXPECT_DOUBLE_EQ(*record_.fraction_of_bound_ttft, 4.0 / 9.0);
  EXPECT_EQ(record_.launch_bound, false) << "three kernels of a second each";
  keep(4);
  EXPECT_EQ(record_.launch_bound, true);
}

TEST_F(KeepBounds, HoldsLongPromptsToOperations) {
  traces_[0].first_tokens = 20;
  traces_[1].first_tokens = 20;
  keep(0);
  EXPECT_DOUBLE_EQ(*record_.bound_ttft, (4800.0 + 3200.0 + 80.0) / 1000.0);
  EXPECT_FALSE(record_.launch_bound) << "nothing is launched";
}

TEST_F(KeepBounds, LeavesOutWhatHasNoMeaning) {
  record_.tpot = {};
  keep(3);
  EXPECT_FALSE(record_.bytes_per_step);
  EXPECT_FALSE(record_.bound_tpot);
  EXPECT_FALSE(record_.compression_speedup_bound);
  EXPECT_TRUE(record_.bound_ttft);
  record_ = {};
  record_.ttft = 9.0;
  record_.calibration = kernels::Ceilings{};
  keep(3);
  EXPECT_TRUE(record_.flops_prefill);
  EXPECT_FALSE(record_.bound_ttft);
  EXPECT_FALSE(record_.fraction_of_bound_ttft);
}

}  // namespace
}  // namespace kvg::harness
