#include "model/activations.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace kvg::model {
namespace {

// Every array below is a multiple of 256 bytes, so that offsets are sums.
Config config(bool parallel_residual) {
  Config config;
  config.hidden = 64;
  config.layers = 2;
  config.heads = {.heads = 4, .kv_heads = 2, .head_dim = 16};
  config.intermediate = 256;
  config.vocab = 128;
  config.rotary_dim = 16;
  config.parallel_residual = parallel_residual;
  return config;
}

constexpr RunShape kShape{.batch = 2, .prompt = 96, .tokens = 128, .chunk = 32};
// Of a chunk of 32 tokens, f16.
constexpr std::size_t kHeadBytes = 32 * 64 * 2;
constexpr std::size_t kMlpBytes = 32 * 256 * 2;

struct Range {
  std::string name;
  std::size_t begin;
  std::size_t bytes;
};

void expect_apart(const std::vector<Range>& ranges, std::size_t total) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_LE(ranges[i].begin + ranges[i].bytes, total) << ranges[i].name;
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_TRUE(ranges[i].begin + ranges[i].bytes <= ranges[j].begin ||
                  ranges[j].begin + ranges[j].bytes <= ranges[i].begin)
          << ranges[i].name << " and " << ranges[j].name;
    }
  }
}

TEST(Activations, AChunkOfTheResidualStreamIsHeldWhereTheCacheTakesAll) {
  const Activations at = lay_out(config(false), kShape, DType::kF16, {});
  EXPECT_EQ(at.step.attended - at.residual, std::size_t{32} * 64 * 4);
  const Activations whole = lay_out(config(false), kShape, DType::kF16, {.prompt_kv = true});
  EXPECT_EQ(whole.step.attended - whole.residual, std::size_t{2} * 96 * 64 * 4);
  EXPECT_EQ(whole.total - at.total,
            std::size_t{2 * 96 - 32} * 64 * 4 + std::size_t{2} * 2 * 96 * 32 * 2);
}

TEST(Activations, TheMlpLiesOverWhatAttentionLeftBehind) {
  const Activations at = lay_out(config(false), kShape, DType::kF16, {});
  EXPECT_EQ(at.prompt.mlp, at.prompt.attended);
  EXPECT_EQ(at.logits, at.prompt.mlp + kMlpBytes);
  // Beside the attention the MLP runs before the attention's output is read.
  const Activations beside = lay_out(config(true), kShape, DType::kF16, {});
  EXPECT_EQ(beside.prompt.mlp, beside.prompt.attended + kHeadBytes);
  EXPECT_EQ(beside.logits, beside.prompt.mlp + kMlpBytes);
}

TEST(Activations, WhatIsNeededTogetherLiesApart) {
  for (const bool beside : {false, true}) {
    const Activations at = lay_out(config(beside), kShape, DType::kF16, {.prompt_kv = true});
    const std::vector<Range> held = {{"residual", at.residual, 2 * 96 * 64 * 4},
                                     {"logits", at.logits, 2 * 128 * 4},
                                     {"rope", at.rope, 128 * 16 * 4},
                                     {"prompt_kv", at.prompt_kv, 2 * 2 * 96 * 32 * 2}};
    const auto with_held = [&](std::vector<Range> ranges) {
      ranges.insert(ranges.end(), held.begin(), held.end());
      expect_apart(ranges, at.total);
    };
    with_held({{"attended", at.prompt.attended, kHeadBytes},
               {"query", at.prompt.query, kHeadBytes},
               {"step's attended", at.step.attended, 256},
               {"step's query", at.step.query, 256},
               {"step's sink_query", at.step.sink_query, 256},
               {"step's mlp", at.step.mlp, 2 * 256 * 2}});
    with_held({{"mlp", at.prompt.mlp, kMlpBytes}});
    if (beside) {
      with_held({{"attended", at.prompt.attended, kHeadBytes}, {"mlp", at.prompt.mlp, kMlpBytes}});
    }
  }
}

TEST(Activations, LogitsOfAPassLieOverItsLayers) {
  RunShape texts = kShape;
  texts.chunk = 0;
  const Extras extras{.prompt_kv = true, .pass = true, .sink_queries = true};
  const Activations at = lay_out(config(true), texts, DType::kF16, extras);
  EXPECT_EQ(at.logits, at.prompt.attended);
  const std::size_t head_bytes = std::size_t{192} * 64 * 2;
  const Range logits{"logits", at.logits, std::size_t{192} * 128 * 4};
  const Range residual{"residual", at.residual, std::size_t{192} * 64 * 4};
  expect_apart({residual, logits, {"rope", at.rope, 128 * 16 * 4}}, at.total);
  expect_apart({residual,
                {"attended", at.prompt.attended, head_bytes},
                {"query", at.prompt.query, head_bytes},
                {"sink_query", at.prompt.sink_query, head_bytes},
                {"rope", at.rope, 128 * 16 * 4},
                {"prompt_kv", at.prompt_kv, 2 * 2 * 96 * 32 * 2}},
               at.total);
}

}  // namespace
}  // namespace kvg::model
