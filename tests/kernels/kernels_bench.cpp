#include <algorithm>
#include <benchmark/benchmark.h>
#include <random>
#include <vector>

#include "kernels/backend.h"

// The operations of a decode step of the shipped tiny-llama at 1000 entries, alone and together.
// Every layer has weights and a cache of its own, so that they come from where they would in a run.

namespace kvg::kernels {
namespace {

constexpr int kLayers = 8;
constexpr int kHidden = 256;
constexpr int kIntermediate = 704;
constexpr int kVocab = 4096;
constexpr HeadShape kHeads = {.heads = 4, .kv_heads = 2, .head_dim = 64};
constexpr int kQkvRows = (kHeads.heads + 2 * kHeads.kv_heads) * kHeads.head_dim;
constexpr int kMaxEntries = 2001;
constexpr std::int64_t kLayerElements =
    std::int64_t{kMaxEntries} * kHeads.kv_heads * kHeads.head_dim;

class TinyLlama {
 public:
  explicit TinyLlama(int threads)
      : backend_(make_backend(find_device("cpu"), {.threads = threads})),
        cursor_(backend_->host_pool().allocate(sizeof(StepCursor), MemoryClass::kObservations)),
        heads_(backend_->host_pool().allocate(sizeof(HeadCursor) * kHeads.kv_heads,
                                              MemoryClass::kObservations)),
        scores_(backend_->host_pool().allocate(64, MemoryClass::kObservations)),
        residual_(floats(kHidden)),
        query_(floats(kHidden)),
        attended_(floats(kHidden)),
        mlp_(floats(kIntermediate)),
        logits_(floats(kVocab)),
        norm_(floats(kHidden)),
        rope_(floats(std::int64_t{kMaxEntries} * 64)),
        head_(weights(kVocab, kHidden)) {
    for (int layer = 0; layer < kLayers; ++layer) {
      layers_.push_back({.qkv = weights(kQkvRows, kHidden),
                         .out = weights(kHidden, kHidden),
                         .up = weights(2 * kIntermediate, kHidden),
                         .down = weights(kHidden, kIntermediate),
                         .keys = floats(kLayerElements),
                         .values = floats(kLayerElements)});
    }
    *scores_.as<std::int32_t>() = 7;
    backend_->reserve_workspace({.batch = 1,
                                 .rows = 1,
                                 .hidden = kHidden,
                                 .features = 2 * kIntermediate,
                                 .heads = kHeads,
                                 .entries = kMaxEntries});
  }

  void set_entries(int entries) {
    *cursor_.as<StepCursor>() = {.position = entries - 1, .sink_position = 0};
    for (int head = 0; head < kHeads.kv_heads; ++head) {
      heads_.as<HeadCursor>()[head] = {
          .start = head * kMaxEntries, .entries = entries, .slot = entries - 1};
    }
  }

  void project_qkv(int layer) {
    backend_->project_qkv({.in = residual_.as<float>(),
                           .norm = norm(),
                           .linear = linear(at(layer).qkv, kQkvRows, kHidden),
                           .rope = {.table = rope_.as<float>(), .rotary_dim = 64},
                           .shape = kHeads,
                           .batch = 1,
                           .tokens = 1,
                           .cursor = cursor_.as<StepCursor>(),
                           .query = query_.data(),
                           .kv = {.keys = at(layer).keys.data(),
                                  .values = at(layer).values.data(),
                                  .batch_stride = kLayerElements},
                           .heads = heads_.as<HeadCursor>()});
  }
  void attend(int layer) {
    backend_->attend({.out = attended_.data(),
                      .query = query_.data(),
                      .kv = view(layer),
                      .shape = kHeads,
                      .batch = 1,
                      .scale = 0.125F});
  }
  void add_out(int layer) {
    backend_->add_project({.inout = residual_.as<float>(),
                           .in = attended_.data(),
                           .linear = linear(at(layer).out, kHidden, kHidden),
                           .rows = 1});
  }
  void project_up(int layer) {
    backend_->project({.out = mlp_.data(),
                       .in = residual_.as<float>(),
                       .norm = norm(),
                       .linear = linear(at(layer).up, 2 * kIntermediate, kHidden),
                       .activation = Activation::kGatedSilu,
                       .rows = 1});
  }
  void add_down(int layer) {
    backend_->add_project({.inout = residual_.as<float>(),
                           .in = mlp_.data(),
                           .linear = linear(at(layer).down, kHidden, kIntermediate),
                           .rows = 1});
  }
  void head() {
    backend_->project({.out = logits_.data(),
                       .in = residual_.as<float>(),
                       .norm = norm(),
                       .linear = linear(head_, kVocab, kHidden),
                       .rows = 1});
  }
  void score() {
    backend_->score({.logits = logits_.as<float>(),
                     .targets = scores_.as<std::int32_t>(),
                     .nll = scores_.as<float>(4),
                     .best = scores_.as<std::int32_t>(8),
                     .rows = 1,
                     .vocab = kVocab});
  }
  void step() {
    for (int layer = 0; layer < kLayers; ++layer) {
      project_qkv(layer);
      attend(layer);
      add_out(layer);
      project_up(layer);
      add_down(layer);
    }
    head();
    score();
    std::fill_n(residual_.as<float>(), kHidden, 0.5F);
  }

 private:
  struct Layer {
    Buffer qkv;
    Buffer out;
    Buffer up;
    Buffer down;
    Buffer keys;
    Buffer values;
  };

  Layer& at(int layer) { return layers_[static_cast<std::size_t>(layer)]; }

  Buffer floats(std::int64_t elements) {
    const auto count = static_cast<std::size_t>(elements);
    std::uniform_real_distribution<float> distribution(-0.1F, 0.1F);
    Buffer buffer = backend_->pool().allocate(count * sizeof(float), MemoryClass::kActivations);
    for (std::size_t i = 0; i < count; ++i) {
      buffer.as<float>()[i] = distribution(generator_);
    }
    return buffer;
  }
  Buffer weights(int out, int in) {
    const std::size_t count = static_cast<std::size_t>(out) * static_cast<std::size_t>(in);
    const Buffer wide = floats(std::int64_t{out} * in);
    Buffer buffer = backend_->pool().allocate(count * 2, MemoryClass::kWeights);
    convert(buffer.data(), DType::kBF16, wide.data(), DType::kF32, count);
    return buffer;
  }
  static Linear linear(const Buffer& weight, int out, int in) {
    return {.weight = weight.data(), .bias = nullptr, .dtype = DType::kBF16, .out = out, .in = in};
  }
  [[nodiscard]] Norm norm() const { return {.weight = norm_.as<float>()}; }
  StoredView view(int layer) {
    StoredSide side;
    side.channels = kHeads.head_dim;
    StoredView view = {.keys = side,
                       .values = side,
                       .heads = heads_.as<HeadCursor>(),
                       .slots = std::int64_t{kMaxEntries} * kHeads.kv_heads,
                       .capacity = kMaxEntries};
    view.keys.codes = at(layer).keys.data();
    view.values.codes = at(layer).values.data();
    return view;
  }

  std::unique_ptr<Backend> backend_;
  std::mt19937 generator_{1};
  Buffer cursor_;
  Buffer heads_;
  Buffer scores_;
  Buffer residual_;
  Buffer query_;
  Buffer attended_;
  Buffer mlp_;
  Buffer logits_;
  Buffer norm_;
  Buffer rope_;
  Buffer head_;
  std::vector<Layer> layers_;
};

using LayerOp = void (TinyLlama::*)(int layer);

// Time is per pass over all layers.
void bench_layers(benchmark::State& state, LayerOp op) {
  TinyLlama model(static_cast<int>(state.range(0)));
  model.set_entries(1000);
  while (state.KeepRunning()) {
    for (int layer = 0; layer < kLayers; ++layer) {
      (model.*op)(layer);
    }
  }
}

void bench_head(benchmark::State& state) {
  TinyLlama model(static_cast<int>(state.range(0)));
  while (state.KeepRunning()) {
    model.head();
    model.score();
  }
}

void bench_step(benchmark::State& state) {
  TinyLlama model(static_cast<int>(state.range(0)));
  model.set_entries(static_cast<int>(state.range(1)));
  while (state.KeepRunning()) {
    model.step();
  }
}

BENCHMARK_CAPTURE(bench_layers, project_qkv, &TinyLlama::project_qkv)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(bench_layers, attend, &TinyLlama::attend)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(bench_layers, add_out, &TinyLlama::add_out)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(bench_layers, project_up, &TinyLlama::project_up)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(bench_layers, add_down, &TinyLlama::add_down)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(bench_head)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(bench_step)
    ->Args({1, 257})
    ->Args({1, 1000})
    ->Args({2, 257})
    ->Args({2, 1000})
    ->Args({2, 2000})
    ->UseRealTime();

}  // namespace
}  // namespace kvg::kernels

BENCHMARK_MAIN();
