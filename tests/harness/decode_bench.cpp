#include <algorithm>
#include <benchmark/benchmark.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/bounds.h"
#include "harness/calibration.h"
#include "harness/environment.h"
#include "harness/meter.h"
#include "harness/summary.h"
#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"

// Whole steps and whole prompts of known shapes under the baseline, with the bound of the same work
// beside them: on the first CUDA device, else the shipped model on the cpu. Times are the host's,
// from before a step until its result is readable there, as in a record.

namespace kvg::harness {
namespace {

constexpr int kSteps = 64;
constexpr int kPrompts = 5;

struct Case {
  std::string model;
  int batch = 1;
  std::int32_t prompt = 0;
};

class Loaded {
 public:
  explicit Loaded(const std::string& name)
      : name_(name),
        source_(model::find_model(name, 0)),
        backend_(make_backend(source_.config)),
        ceilings_(measure()),
        weights_(model::load_weights(source_, *backend_, {})) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const model::Config& config() const { return source_.config; }
  [[nodiscard]] kernels::Backend& backend() { return *backend_; }

  [[nodiscard]] std::unique_ptr<model::Runner> runner(const Case& work, int steps) {
    return std::make_unique<model::Runner>(
        model::Model{source_.config, weights_},
        *backend_,
        kvcompress::parse_policy("baseline"),
        model::RunShape{
            .batch = work.batch, .prompt = work.prompt, .tokens = work.prompt + steps, .chunk = 0});
  }

  // The bounds of one sample, as a record of it has them.
  [[nodiscard]] Record bounds(const model::Runner& runner, const Trace& trace, int batch) const {
    Record record;
    record.batch = batch;
    record.calibration = ceilings_;
    const Sample sample = to_sample(trace, false);
    record.ttft = sample.ttft;
    record.tpot = sample.tpot;
    record.bits_per_element = runner.cache().bits_per_element();
    keep_bounds({.config = source_.config,
                 .device = backend_->device(),
                 .matrices = matrices(),
                 .compute = backend_->compute_dtype(),
                 .step_kernels = runner.step_kernels()},
                {&trace, 1},
                record);
    return record;
  }

 private:
  static std::unique_ptr<kernels::Backend> make_backend(const model::Config& config) {
    const kernels::DeviceInfo device = kernels::find_device("auto");
    const bool on_cpu = device.kind == kernels::DeviceKind::kCpu;
    return kernels::make_backend(device, {.compute = on_cpu ? DType::kF32 : config.dtype});
  }
  [[nodiscard]] DType matrices() const {
    return model::matrix_dtype(source_.config, backend_->device().kind, backend_->compute_dtype());
  }
  [[nodiscard]] kernels::Ceilings measure() {
    return calibrate(*backend_,
                     {.working_set = model::weight_bytes(source_.config, matrices()),
                      .room = backend_->device().free_bytes / 2},
                     0);
  }

  std::string name_;
  model::ModelSource source_;
  std::unique_ptr<kernels::Backend> backend_;
  kernels::Ceilings ceilings_;
  model::Weights weights_;
};

// One model at a time: benchmarks of the same one follow each other.
Loaded& loaded(const std::string& name) {
  static std::unique_ptr<Loaded> held;
  if (held == nullptr || held->name() != name) {
    held.reset();
    held = std::make_unique<Loaded>(name);
  }
  return *held;
}

std::vector<std::int32_t> random_ids(const model::Config& config, const Case& work) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(work.batch) *
                                static_cast<std::size_t>(work.prompt));
  std::uint32_t state = 1;
  std::ranges::generate(ids, [&] {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::int32_t>((state >> 8U) % static_cast<std::uint32_t>(config.vocab));
  });
  return ids;
}

void count(benchmark::State& state, const char* name, std::optional<double> value, double scale) {
  if (value) {
    state.counters[name] = *value * scale;
  }
}

void bench_decode(benchmark::State& state, const Case& work) {
  Loaded& model = loaded(work.model);
  const auto runner = model.runner(work, kSteps + 1);
  const std::vector<std::int32_t> none(static_cast<std::size_t>(work.batch), model::kNoTarget);
  std::vector<std::int32_t> next(none.size());
  const auto take = [&next](std::span<const model::TokenScore> scores) {
    std::ranges::transform(scores, next.begin(), &model::TokenScore::best);
  };
  runner->begin();
  Trace trace;
  trace.first_tokens = work.prompt;
  trace.steps.push_back(
      seconds_of([&] { take(runner->prefill(random_ids(model.config(), work), none)); }));
  take(runner->step(next, none));
  while (state.KeepRunning()) {
    keep_step_reads(runner->cache(), trace);
    trace.steps.push_back(seconds_of([&] { take(runner->step(next, none)); }));
    state.SetIterationTime(trace.steps.back());
  }
  const Record record = model.bounds(*runner, trace, work.batch);
  count(state, "bound_ms", record.bound_tpot, 1e3);
  count(state, "of_bound", record.fraction_of_bound_tpot, 1.0);
  count(state, "kernels", static_cast<double>(runner->step_kernels()), 1.0);
  state.counters["bytes/s"] =
      benchmark::Counter(static_cast<double>(record.bytes_per_step.value_or(0)),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void bench_prefill(benchmark::State& state, const Case& work) {
  Loaded& model = loaded(work.model);
  const auto runner = model.runner(work, 1);
  const std::vector<std::int32_t> none(static_cast<std::size_t>(work.batch), model::kNoTarget);
  const std::vector<std::int32_t> ids = random_ids(model.config(), work);
  const auto prefill = [&] {
    runner->begin();
    return seconds_of([&] { runner->prefill(ids, none); });
  };
  prefill();
  double total = 0.0;
  while (state.KeepRunning()) {
    const double seconds = prefill();
    total += seconds;
    state.SetIterationTime(seconds);
  }
  Trace trace;
  trace.first_tokens = work.prompt;
  trace.steps = {total / static_cast<double>(state.iterations())};
  const Record record = model.bounds(*runner, trace, work.batch);
  count(state, "bound_ms", record.bound_ttft, 1e3);
  count(state, "of_bound", record.fraction_of_bound_ttft, 1.0);
  state.counters["flop/s"] = benchmark::Counter(record.flops_prefill.value_or(0.0),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

using Bench = void (*)(benchmark::State& state, const Case& work);

void add(const std::string& kind, Bench bench, const Case& work, int iterations) {
  const std::string name = kind + "/" + work.model + "/prompt:" + std::to_string(work.prompt) +
                           "/batch:" + std::to_string(work.batch);
  // What does not fit is said in its line; the others go on.
  const auto guarded = [bench, work](benchmark::State& state) {
    try {
      bench(state, work);
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
  benchmark::RegisterBenchmark(name.c_str(), guarded)
      ->UseManualTime()
      ->Iterations(iterations)
      ->Unit(benchmark::kMillisecond);
}

void register_all() {
  const kernels::DeviceInfo device = kernels::find_device("auto");
  if (device.kind == kernels::DeviceKind::kCpu) {
    for (const int batch : {1, 4}) {
      add("decode", bench_decode, {"tiny-llama", batch, 500}, kSteps);
    }
    add("prefill", bench_prefill, {"tiny-llama", 1, 500}, kPrompts);
    return;
  }
  const std::string largest = "synthetic:llama-3.1-8b";
  for (const std::string& name :
       {largest, std::string("synthetic:llama-3.2-1b"), std::string("synthetic:pythia-2.8b")}) {
    for (const int batch : {1, 32}) {
      add("decode", bench_decode, {name, batch, 2000}, kSteps);
    }
    add("prefill", bench_prefill, {name, 1, 2000}, kPrompts);
    if (name == largest) {
      add("decode", bench_decode, {name, 1, 32000}, kSteps);
      add("prefill", bench_prefill, {name, 1, 32000}, kPrompts);
    }
  }
}

void keep_provenance() {
  const Environment where = read_environment(kernels::find_device("auto"));
  benchmark::AddCustomContext("commit", std::string(where.build.commit));
  benchmark::AddCustomContext("dirty", where.build.dirty.value_or(true) ? "true" : "false");
  benchmark::AddCustomContext("build_type", std::string(where.build.type));
  benchmark::AddCustomContext("device", where.device.name);
  benchmark::AddCustomContext("driver", where.device.driver);
}

}  // namespace
}  // namespace kvg::harness

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  kvg::harness::keep_provenance();
  kvg::harness::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
