#pragma once

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"

namespace kvg::kernels {

/// The parts of a well-known model that the shapes of operations come from.
struct ModelShape {
  std::string name;
  int layers = 0;
  int hidden = 0;
  int intermediate = 0;
  int vocab = 0;
  HeadShape heads;
  bool gated = true;
  DType dtype = DType::kBF16;  ///< of weights, and of what CUDA computes in

  [[nodiscard]] int qkv() const { return (heads.heads + 2 * heads.kv_heads) * heads.head_dim; }
  [[nodiscard]] int up() const { return (gated ? 2 : 1) * intermediate; }
};

inline std::vector<ModelShape> bench_shapes(DeviceKind device) {
  if (device == DeviceKind::kCpu) {
    return {{"tiny-llama", 8, 256, 704, 4096, {4, 2, 64}, true, DType::kBF16}};
  }
  return {{"llama-3.1-8b", 32, 4096, 14336, 128256, {32, 8, 128}, true, DType::kBF16},
          {"llama-3.2-1b", 16, 2048, 8192, 128256, {32, 8, 64}, true, DType::kBF16},
          {"pythia-2.8b", 32, 2560, 10240, 50304, {32, 32, 80}, false, DType::kF16}};
}

/// An array of random values around zero. Large ones repeat a block of 64 MiB.
inline Buffer random_array(Backend& backend, std::size_t count, DType dtype, MemoryClass kind) {
  std::mt19937 generator{1};
  std::uniform_real_distribution<float> distribution(-0.1F, 0.1F);
  std::vector<float> wide(std::min(count, (std::size_t{64} << 20U) / size_of(dtype)));
  std::ranges::generate(wide, [&] { return distribution(generator); });
  std::vector<std::byte> block(wide.size() * size_of(dtype));
  convert(block.data(), dtype, wide.data(), DType::kF32, wide.size());
  Buffer buffer = backend.pool().allocate(count * size_of(dtype), kind);
  for (std::size_t at = 0; at < buffer.bytes(); at += block.size()) {
    const std::size_t bytes = std::min(block.size(), buffer.bytes() - at);
    backend.upload(buffer.as<std::byte>(at), block.data(), bytes);
  }
  return buffer;
}

/// What one pass of a benchmark moves and computes.
struct PassCost {
  double bytes = 0.0;
  double flops = 0.0;
};

/// Measured once for each device, dtype and working set.
inline const Ceilings& ceilings_of(Backend& backend, std::size_t working_set) {
  static std::map<std::string, Ceilings> measured;
  const std::string key = backend.device().id + "/" +
                          std::string(name_of(backend.compute_dtype())) + "/" +
                          std::to_string(working_set);
  const auto found = measured.find(key);
  if (found != measured.end()) {
    return found->second;
  }
  const std::size_t room = backend.device().free_bytes / 4;
  return measured.emplace(key, backend.measure_ceilings({.working_set = working_set, .room = room}))
      .first->second;
}

/// Tells bytes and operations a second and `of_ceiling`: the time that the device needs for them
/// at its best, over the time taken. `total`: seconds of all iterations.
inline void tell_rates(benchmark::State& state,
                       Backend& backend,
                       const PassCost& cost,
                       double total) {
  const Ceilings& ceilings = ceilings_of(backend, static_cast<std::size_t>(cost.bytes));
  const double seconds = total / static_cast<double>(state.iterations());
  state.counters["bytes/s"] = cost.bytes / seconds;
  if (cost.flops > 0.0) {
    state.counters["flop/s"] = cost.flops / seconds;
  }
  if (ceilings.read_gbps && ceilings.gemm_tflops) {
    const double reading = cost.bytes / (*ceilings.read_gbps * 1e9);
    const double computing = cost.flops / (*ceilings.gemm_tflops * 1e12);
    state.counters["of_ceiling"] = std::max(reading, computing) / seconds;
  }
}

/// Times `pass` as one recorded step by the device's own clock.
inline void run_passes(benchmark::State& state,
                       Backend& backend,
                       const PassCost& cost,
                       const std::function<void()>& pass) {
  pass();
  backend.synchronize();
  const auto graph = backend.capture(pass);
  graph->launch();
  double total = 0.0;
  while (state.KeepRunning()) {
    const double seconds = backend.time([&graph] { graph->launch(); });
    total += seconds;
    state.SetIterationTime(seconds);
  }
  tell_rates(state, backend, cost, total);
}

/// Registers a benchmark that runs passes. What throws (memory that there is not) is said in its
/// line, and the others go on.
inline void add_bench(const std::string& name, std::function<void(benchmark::State&)> bench) {
  const auto guarded = [run = std::move(bench)](benchmark::State& state) {
    try {
      run(state);
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
  benchmark::RegisterBenchmark(name.c_str(), guarded)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace kvg::kernels
