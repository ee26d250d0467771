#include <memory>

#include "tests/kernels/bench_pass.h"

// Attention of a step, and on the cpu of a prompt, over unquantised entries in the shapes of
// well-known models (prefill_bench.cpp has prompts on CUDA).
// A pass of steps goes over as many layers as are far more than a cache of the device holds.

namespace kvg::kernels {
namespace {

constexpr std::size_t kBeyondCache = std::size_t{512} << 20U;
constexpr int kMostLayers = 64;

class Attention {
 public:
  Attention(const ModelShape& shape, const DeviceInfo& device, int batch, int entries)
      : shape_(shape),
        batch_(batch),
        entries_(entries),
        compute_(device.kind == DeviceKind::kCpu ? DType::kF32 : shape.dtype),
        backend_(make_backend(device, {.compute = compute_})),
        heads_(backend_->host_pool().allocate(
            sizeof(HeadCursor) * static_cast<std::size_t>(batch * shape.heads.kv_heads),
            MemoryClass::kObservations)) {
    for (int head = 0; head < batch * shape.heads.kv_heads; ++head) {
      heads_.as<HeadCursor>()[head] = {
          .start = head % shape.heads.kv_heads * entries, .entries = entries, .slot = entries - 1};
    }
    workspace_ = backend_->make_workspace({.batch = batch,
                                           .rows = entries,
                                           .hidden = shape.hidden,
                                           .features = shape.hidden,
                                           .heads = shape.heads,
                                           .entries = entries});
  }

  void bench_step(benchmark::State& state) {
    const Buffer query = random(query_elements(batch_));
    const Buffer out = random(query_elements(batch_));
    std::vector<Buffer> layers;
    std::size_t bytes = 0;
    do {
      layers.push_back(random(2 * side_elements() * static_cast<std::size_t>(batch_)));
      bytes += layers.back().bytes();
    } while (bytes < kBeyondCache && static_cast<int>(layers.size()) < kMostLayers);
    const double scored = 4.0 * shape_.heads.heads * shape_.heads.head_dim * entries_ * batch_;
    const PassCost cost = {.bytes = static_cast<double>(bytes),
                           .flops = scored * static_cast<double>(layers.size())};
    run_passes(state, *backend_, cost, [&] {
      for (const Buffer& layer : layers) {
        backend_->attend({.out = out.data(),
                          .query = query.data(),
                          .kv = view(layer),
                          .shape = shape_.heads,
                          .batch = batch_,
                          .scale = 0.1F});
      }
    });
  }

  void bench_prompt(benchmark::State& state) {
    const Buffer query = random(query_elements(entries_));
    const Buffer out = random(query_elements(entries_));
    const Buffer layer = random(2 * side_elements());
    const std::int64_t head_stride = std::int64_t{entries_} * shape_.heads.head_dim;
    // Half of the pairs of positions.
    const double pairs = 0.5 * entries_ * entries_;
    const PassCost cost = {
        .bytes = static_cast<double>(query.bytes() + out.bytes() + layer.bytes()),
        .flops = 4.0 * shape_.heads.heads * shape_.heads.head_dim * pairs};
    run_passes(state, *backend_, cost, [&] {
      backend_->prefill_attend({.out = out.data(),
                                .query = query.data(),
                                .kv = {.keys = layer.data(),
                                       .values = layer.as<std::byte>(layer.bytes() / 2),
                                       .dtype = compute_,
                                       .batch_stride = head_stride * shape_.heads.kv_heads,
                                       .head_stride = head_stride},
                                .past = 0,
                                .tokens = entries_,
                                .shape = shape_.heads,
                                .batch = 1,
                                .scale = 0.1F});
    });
  }

 private:
  [[nodiscard]] std::size_t query_elements(int rows) const {
    return static_cast<std::size_t>(rows) *
           static_cast<std::size_t>(shape_.heads.heads * shape_.heads.head_dim);
  }
  // Of the keys, or the values, of one batch row.
  [[nodiscard]] std::size_t side_elements() const {
    return static_cast<std::size_t>(entries_) *
           static_cast<std::size_t>(shape_.heads.kv_heads * shape_.heads.head_dim);
  }
  [[nodiscard]] Buffer random(std::size_t elements) const {
    return random_array(*backend_, elements, compute_, MemoryClass::kKv);
  }
  [[nodiscard]] StoredView view(const Buffer& layer) const {
    StoredSide side;
    side.form = native_form(compute_);
    side.channels = shape_.heads.head_dim;
    StoredView view = {.keys = side,
                       .values = side,
                       .heads = heads_.as<HeadCursor>(),
                       .slots = std::int64_t{entries_} * shape_.heads.kv_heads,
                       .capacity = entries_};
    view.keys.codes = layer.data();
    view.values.codes = layer.as<std::byte>(layer.bytes() / 2);
    return view;
  }

  ModelShape shape_;
  int batch_;
  int entries_;
  DType compute_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Workspace> workspace_;
  Buffer heads_;
};

void add_step(const ModelShape& shape, const DeviceInfo& device, int batch, int entries) {
  const std::string name = "attend/" + shape.name + "/" + device.id +
                           "/entries:" + std::to_string(entries) +
                           "/batch:" + std::to_string(batch);
  add_bench(name, [shape, device, batch, entries](benchmark::State& state) {
    Attention(shape, device, batch, entries).bench_step(state);
  });
}

void add_prompt(const ModelShape& shape, const DeviceInfo& device, int tokens) {
  const std::string name =
      "prefill_attend/" + shape.name + "/" + device.id + "/tokens:" + std::to_string(tokens);
  add_bench(name, [shape, device, tokens](benchmark::State& state) {
    Attention(shape, device, 1, tokens).bench_prompt(state);
  });
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const DeviceInfo& device : available_devices()) {
    const bool on_cpu = device.kind == DeviceKind::kCpu;
    for (const ModelShape& shape : bench_shapes(device.kind)) {
      add_step(shape, device, 1, 2000);
      add_step(shape, device, on_cpu ? 4 : 32, 2000);
      if (on_cpu) {
        add_prompt(shape, device, 500);
      } else {
        add_step(shape, device, 1, 32000);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace kvg::kernels
