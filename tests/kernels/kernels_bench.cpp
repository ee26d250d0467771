#include <memory>

#include "tests/kernels/bench_pass.h"

// The products and the small operations of steps and prompts, over the shapes of well-known models:
// one pass goes over as many layers as are far more than a cache of the device holds, each with
// weights of its own.

namespace kvg::kernels {
namespace {

constexpr std::size_t kBeyondCache = std::size_t{256} << 20U;

// The layers of one model on one device, as large as the benchmark that asks for most of it.
class Layers {
 public:
  Layers(const ModelShape& shape, const DeviceInfo& device, int rows)
      : shape_(shape),
        on_cpu_(device.kind == DeviceKind::kCpu),
        rows_(rows),
        backend_(make_backend(device, {.compute = on_cpu_ ? DType::kF32 : shape.dtype})),
        cursor_(backend_->host_pool().allocate(sizeof(StepCursor), MemoryClass::kObservations)),
        tokens_(backend_->host_pool().allocate(count(rows) * 8, MemoryClass::kObservations)),
        residual_(floats(count(rows) * count(shape.hidden))),
        query_(computed(count(rows) * count(shape.heads.heads * shape.heads.head_dim))),
        keys_(computed(count(rows) * count(shape.heads.kv_heads * shape.heads.head_dim))),
        values_(computed(count(rows) * count(shape.heads.kv_heads * shape.heads.head_dim))),
        mlp_(computed(count(rows) * count(shape.intermediate))),
        logits_(floats(count(std::min(rows, 32)) * count(shape.vocab))),
        norm_(floats(count(shape.hidden))),
        rope_(floats(count(rows) * count(shape.heads.head_dim))),
        head_(weights(shape.vocab, shape.hidden)) {
    *cursor_.as<StepCursor>() = {.position = 0, .sink_position = 0};
    for (int i = 0; i < rows; ++i) {
      tokens_.as<std::int32_t>()[i] = i * 7919 % shape.vocab;
    }
    std::size_t bytes = 0;
    do {
      layers_.push_back({.qkv = weights(shape.qkv(), shape.hidden),
                         .out = weights(shape.hidden, shape.heads.heads * shape.heads.head_dim),
                         .up = weights(shape.up(), shape.hidden),
                         .down = weights(shape.hidden, shape.intermediate)});
      bytes += layers_.back().out.bytes();
    } while (bytes < kBeyondCache && static_cast<int>(layers_.size()) < shape.layers);
  }

  using Op = PassCost (Layers::*)(int rows);

  void bench(benchmark::State& state, Op op, int rows, bool step) {
    step_ = step;
    workspace_ = backend_->make_workspace({.batch = step ? rows : 1,
                                           .rows = rows,
                                           .hidden = shape_.hidden,
                                           .features = std::max(shape_.qkv(), shape_.up()),
                                           .heads = shape_.heads,
                                           .entries = rows});
    PassCost cost;
    run_passes(state, *backend_, (this->*op)(rows), [&] { cost = (this->*op)(rows); });
  }

  PassCost project_qkv(int rows) {
    const HeadShape& heads = shape_.heads;
    const std::int64_t row = std::int64_t{heads.kv_heads} * heads.head_dim;
    for (const Layer& layer : layers_) {
      backend_->project_qkv(
          {.in = residual_.as<float>(),
           .norm = norm(),
           .linear = linear(layer.qkv, shape_.qkv(), shape_.hidden),
           .rope = {.table = rope_.as<float>(), .rotary_dim = heads.head_dim},
           .shape = heads,
           .batch = step_ ? rows : 1,
           .tokens = step_ ? 1 : rows,
           .cursor = step_ ? cursor_.as<StepCursor>() : nullptr,
           .query = query_.data(),
           .kv = {.keys = keys_.data(),
                  .values = values_.data(),
                  .dtype = backend_->compute_dtype(),
                  .batch_stride = row * (step_ ? 1 : rows),
                  .head_stride = std::int64_t{heads.head_dim} * (step_ ? 1 : rows)}});
    }
    return products(rows, shape_.qkv(), shape_.hidden);
  }
  PassCost add_out(int rows) {
    const int width = shape_.heads.heads * shape_.heads.head_dim;
    for (const Layer& layer : layers_) {
      backend_->add_project({.inout = residual_.as<float>(),
                             .in = query_.data(),
                             .linear = linear(layer.out, shape_.hidden, width),
                             .rows = rows});
    }
    return products(rows, shape_.hidden, width);
  }
  PassCost project_up(int rows) {
    for (const Layer& layer : layers_) {
      backend_->project({.out = mlp_.data(),
                         .out_dtype = backend_->compute_dtype(),
                         .in = residual_.as<float>(),
                         .norm = norm(),
                         .linear = linear(layer.up, shape_.up(), shape_.hidden),
                         .activation = shape_.gated ? Activation::kGatedSilu : Activation::kGelu,
                         .rows = rows});
    }
    return products(rows, shape_.up(), shape_.hidden);
  }
  PassCost add_down(int rows) {
    for (const Layer& layer : layers_) {
      backend_->add_project({.inout = residual_.as<float>(),
                             .in = mlp_.data(),
                             .linear = linear(layer.down, shape_.hidden, shape_.intermediate),
                             .rows = rows});
    }
    return products(rows, shape_.hidden, shape_.intermediate);
  }
  PassCost head(int rows) {
    backend_->project({.out = logits_.data(),
                       .in = residual_.as<float>(),
                       .norm = norm(),
                       .linear = linear(head_, shape_.vocab, shape_.hidden),
                       .rows = rows});
    return product(rows, shape_.vocab, shape_.hidden);
  }
  // Logits come from the cache, as in a step, so that this may well beat the memory.
  PassCost score(int rows) {
    backend_->score({.logits = logits_.as<float>(),
                     .targets = tokens_.as<std::int32_t>(),
                     .nll = residual_.as<float>(),
                     .best = tokens_.as<std::int32_t>(4 * count(rows_)),
                     .rows = rows,
                     .vocab = shape_.vocab});
    return {.bytes = 4.0 * rows * shape_.vocab};
  }
  PassCost embed(int rows) {
    backend_->embed({.out = residual_.as<float>(),
                     .table = head_.data(),
                     .dtype = shape_.dtype,
                     .tokens = tokens_.as<std::int32_t>(),
                     .rows = rows,
                     .hidden = shape_.hidden});
    return {.bytes = (4.0 + static_cast<double>(size_of(shape_.dtype))) * rows * shape_.hidden};
  }

 private:
  struct Layer {
    Buffer qkv;
    Buffer out;
    Buffer up;
    Buffer down;
  };

  static std::size_t count(int value) { return static_cast<std::size_t>(value); }
  [[nodiscard]] Buffer floats(std::size_t elements) const {
    return random_array(*backend_, elements, DType::kF32, MemoryClass::kActivations);
  }
  [[nodiscard]] Buffer computed(std::size_t elements) const {
    return random_array(*backend_, elements, backend_->compute_dtype(), MemoryClass::kActivations);
  }
  [[nodiscard]] Buffer weights(int out, int in) const {
    return random_array(*backend_, count(out) * count(in), shape_.dtype, MemoryClass::kWeights);
  }
  [[nodiscard]] Linear linear(const Buffer& weight, int out, int in) const {
    return {.weight = weight.data(), .bias = nullptr, .dtype = shape_.dtype, .out = out, .in = in};
  }
  [[nodiscard]] Norm norm() const { return {.weight = norm_.as<float>()}; }

  // Weights alone: what goes in and out is small beside them in a step, and in a prompt it is the
  // operations that take the time.
  [[nodiscard]] PassCost product(int rows, int out, int in) const {
    const double elements = static_cast<double>(out) * in;
    return {.bytes = elements * static_cast<double>(size_of(shape_.dtype)),
            .flops = 2.0 * rows * elements};
  }
  [[nodiscard]] PassCost products(int rows, int out, int in) const {
    const PassCost one = product(rows, out, in);
    const auto layers = static_cast<double>(layers_.size());
    return {.bytes = one.bytes * layers, .flops = one.flops * layers};
  }

  ModelShape shape_;
  bool on_cpu_;
  bool step_ = true;
  int rows_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Workspace> workspace_;
  Buffer cursor_;
  Buffer tokens_;
  Buffer residual_;
  Buffer query_;
  Buffer keys_;
  Buffer values_;
  Buffer mlp_;
  Buffer logits_;
  Buffer norm_;
  Buffer rope_;
  Buffer head_;
  std::vector<Layer> layers_;
};

// One model at a time: its benchmarks follow each other.
Layers& layers_of(const ModelShape& shape, const DeviceInfo& device, int rows) {
  static std::unique_ptr<Layers> held;
  static std::string name;
  if (const std::string wanted = device.id + "/" + shape.name; name != wanted) {
    held.reset();
    held = std::make_unique<Layers>(shape, device, rows);
    name = wanted;
  }
  return *held;
}

void add_model(const ModelShape& shape, const DeviceInfo& device) {
  const bool on_cpu = device.kind == DeviceKind::kCpu;
  const int prompt = on_cpu ? 256 : 2000;
  struct Named {
    const char* name;
    Layers::Op op;
    bool in_prompts;
  };
  constexpr Named kOps[] = {{"embed", &Layers::embed, true},
                            {"project_qkv", &Layers::project_qkv, true},
                            {"add_out", &Layers::add_out, true},
                            {"project_up", &Layers::project_up, true},
                            {"add_down", &Layers::add_down, true},
                            {"head", &Layers::head, false},
                            {"score", &Layers::score, false}};
  for (const Named& named : kOps) {
    const auto add = [&](int rows, bool step) {
      const std::string name = std::string(named.name) + "/" + shape.name + "/" + device.id +
                               (step ? "/step:" : "/prompt:") + std::to_string(rows);
      add_bench(name, [shape, device, prompt, op = named.op, rows, step](benchmark::State& state) {
        layers_of(shape, device, prompt).bench(state, op, rows, step);
      });
    };
    add(1, true);
    add(on_cpu ? 4 : 32, true);
    if (named.in_prompts) {
      add(prompt, false);
    }
  }
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const DeviceInfo& device : available_devices()) {
    for (const ModelShape& shape : bench_shapes(device.kind)) {
      add_model(shape, device);
    }
  }
  return true;
}();

}  // namespace
}  // namespace kvg::kernels

BENCHMARK_MAIN();
