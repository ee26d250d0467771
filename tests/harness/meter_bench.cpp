// What reading the meter costs beside a run: bm_lap against bm_step. One lap is read a sample, so
// its share of a sample of 2000 tokens is lap / (1999 x step); `share` reports it. bm_step tells
// how near a step comes to reading its weights at the device's best; bm_calibrate what knowing that
// best costs.

#include <array>
#include <benchmark/benchmark.h>
#include <chrono>

#include "harness/bounds.h"
#include "harness/calibration.h"
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

kernels::CeilingSizes sizes_of(const Loaded& loaded) {
  return {.working_set = loaded.weights.storage.bytes(),
          .room = loaded.backend->device().free_bytes / 2};
}

void bm_step(benchmark::State& state) {
  Loaded loaded;
  const kernels::Ceilings ceilings = calibrate(*loaded.backend, sizes_of(loaded), 0);
  double total = 0.0;
  while (state.KeepRunning()) {
    const double seconds = seconds_of([&loaded] { loaded.step(); });
    total += seconds;
    state.SetIterationTime(seconds);
  }
  const double bytes = step_weight_bytes(loaded.source.config, loaded.weights.head.dtype, 1);
  const double rate = bytes * static_cast<double>(state.iterations()) / total;
  state.counters["bytes/s"] = rate;
  if (ceilings.read_gbps) {
    state.counters["of_ceiling"] = rate / (*ceilings.read_gbps * 1e9);
  }
}
BENCHMARK(bm_step)->UseManualTime();

void bm_calibrate(benchmark::State& state) {
  Loaded loaded;
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(loaded.backend->measure_ceilings(sizes_of(loaded)));
  }
}
BENCHMARK(bm_calibrate)->UseRealTime()->Unit(benchmark::kMillisecond);

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
