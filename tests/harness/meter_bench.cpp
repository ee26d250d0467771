// What reading the meter costs beside a run: bm_lap against bm_step. One lap is read a sample, so
// its share of a sample of 2000 tokens is lap / (1999 x step); `share` reports it.

#include <array>
#include <benchmark/benchmark.h>
#include <chrono>

#include "harness/meter.h"
#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"

namespace kvg::harness {
namespace {

struct Loaded {
  Loaded()
      : backend(kernels::make_backend(kernels::find_device("auto"), {})),
        source(model::find_model("tiny-llama", 0)),
        weights(model::load_weights(source, *backend, {})),
        runner({source.config, weights},
               *backend,
               kvcompress::parse_policy("streaming_256"),
               {.batch = 1, .prompt = 0, .tokens = kTokens, .chunk = 0}) {}

  void step() {
    if (runner.cache().tokens_fed() == kTokens) {
      runner.begin();
    }
    runner.step(std::array{1}, std::array{model::kNoTarget});
  }

  static constexpr std::int32_t kTokens = 1999;
  std::unique_ptr<kernels::Backend> backend;
  model::ModelSource source;
  model::Weights weights;
  model::Runner runner;
};

void bm_step(benchmark::State& state) {
  Loaded loaded;
  while (state.KeepRunning()) {
    loaded.step();
  }
}
BENCHMARK(bm_step)->UseRealTime();

void bm_lap(benchmark::State& state) {
  Loaded loaded;
  constexpr int kSteps = 200;
  const double step = seconds_of([&loaded] {
                        for (int i = 0; i < kSteps; ++i) {
                          loaded.step();
                        }
                      }) /
                      kSteps;
  MemoryMeter meter(*loaded.backend);
  double laps = 0.0;
  while (state.KeepRunning()) {
    laps += seconds_of([&meter] { meter.lap(); });
  }
  state.counters["share"] =
      laps / static_cast<double>(state.iterations()) / (Loaded::kTokens * step);
}
BENCHMARK(bm_lap)->UseRealTime();

}  // namespace
}  // namespace kvg::harness
