#include <gtest/gtest.h>
#include <ostream>
#include <string>

#include "kernels/device.h"
#include "model/checkpoint.h"
#include "model/runner.h"

// What runs of well-known shapes need beside weights and cache. Nothing is allocated: what a runner
// plans is what it holds (RunnerOn.HoldsWhatItPlans).

namespace kvg::model {
namespace {

constexpr double kWorkspace = 64.0 * 1024 * 1024;

struct Case {
  const char* name;
  const char* model;
  const char* policy;
  RunShape shape;
};

std::ostream& operator<<(std::ostream& out, const Case& value) {
  return out << value.name;
}

class Peak : public testing::TestWithParam<Case> {};

TEST_P(Peak, IsAtMostThreePercentAboveWeightsCacheAndAFixedWorkspace) {
  const Case& run = GetParam();
  const Config config = find_model(std::string("synthetic:") + run.model, 0).config;
#ifdef KVG_TEST_GPU
  const kernels::BackendOptions options{.compute = config.dtype};
  const char* device = "cuda";
#else
  // Scratch is a thread's own here.
  const kernels::BackendOptions options{.threads = 2};
  const char* device = "cpu";
#endif
  const auto backend = kernels::make_backend(kernels::find_device(device), options);
  const auto feed = run.shape.prompt > 0 ? kvcompress::Feed::kPrompt : kvcompress::Feed::kSteps;
  const MemoryPlan plan =
      Runner::plan(config, *backend, kvcompress::parse_policy(run.policy, feed), run.shape);
  const double held = static_cast<double>(plan.weights + plan.kv) + kWorkspace;
  EXPECT_LE(static_cast<double>(plan.total()), 1.03 * held)
      << "activations " << plan.activations << ", workspace " << plan.workspace << ", observations "
      << plan.observations;
}

constexpr Case kCases[] = {
    {"llama_8b_2000", "llama-3.1-8b", "baseline", {.prompt = 2000, .tokens = 2127}},
    {"llama_8b_32000", "llama-3.1-8b", "baseline", {.prompt = 32000, .tokens = 32031}},
    {"llama_8b_batch_32",
     "llama-3.1-8b",
     "baseline",
     {.batch = 32, .prompt = 2000, .tokens = 2127}},
    {"llama_8b_2000_cut", "llama-3.1-8b", "snapkv_1024", {.prompt = 2000, .tokens = 2127}},
    {"llama_8b_score", "llama-3.1-8b", "baseline", {.tokens = 1999, .texts = true}},
    {"llama_1b_2000", "llama-3.2-1b", "baseline", {.prompt = 2000, .tokens = 2127}},
    {"llama_1b_32000", "llama-3.2-1b", "baseline", {.prompt = 32000, .tokens = 32031}},
    {"pythia_2000", "pythia-2.8b", "baseline", {.prompt = 2000, .tokens = 2048}},
    {"pythia_stream", "pythia-2.8b", "baseline", {.tokens = 1999}},
    {"pythia_stream_cut", "pythia-2.8b", "streaming_256", {.tokens = 1999}},
    {"pythia_score", "pythia-2.8b", "baseline", {.tokens = 1999, .texts = true}},
    {"pythia_score_cut", "pythia-2.8b", "streaming_256", {.tokens = 1999, .texts = true}},
};

INSTANTIATE_TEST_SUITE_P(Shapes, Peak, testing::ValuesIn(kCases), [](const auto& param_info) {
  return param_info.param.name;
});

}  // namespace
}  // namespace kvg::model
