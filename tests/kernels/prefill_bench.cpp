#include <memory>

#include "tests/kernels/bench_pass.h"

// Attention of a prompt on CUDA devices, in the shapes of well-known models: at once, as a late
// chunk, and of a batch. A pass goes over as many prompts as are more than a cache of the device
// holds.

namespace kvg::kernels {
namespace {

constexpr std::size_t kBeyondCache = std::size_t{256} << 20U;
// Entries are around 0.1: this spreads scores as widely as models do.
constexpr float kScale = 30.0F;

struct PromptCase {
  int batch = 1;
  int past = 0;
  int tokens = 0;

  [[nodiscard]] std::size_t query_count(const HeadShape& shape) const {
    return static_cast<std::size_t>(batch) * static_cast<std::size_t>(tokens) *
           static_cast<std::size_t>(shape.heads * shape.head_dim);
  }
  /// Of the keys, or the values.
  [[nodiscard]] std::size_t entry_count(const HeadShape& shape) const {
    return static_cast<std::size_t>(batch) * static_cast<std::size_t>(past + tokens) *
           static_cast<std::size_t>(shape.kv_heads * shape.head_dim);
  }
  /// A multiplication and an addition in each of two products for every channel of a query and an
  /// entry that it sees.
  [[nodiscard]] double flops(const HeadShape& shape) const {
    const double pairs = tokens * (past + 0.5 * (tokens + 1)) * batch;
    return 4.0 * shape.heads * shape.head_dim * pairs;
  }
};

struct Prompt {
  Prompt(Backend& backend, const HeadShape& shape, const PromptCase& params)
      : query(random(backend, params.query_count(shape))),
        keys(random(backend, params.entry_count(shape))),
        values(random(backend, params.entry_count(shape))),
        out(random(backend, params.query_count(shape))) {}

  [[nodiscard]] static Buffer random(Backend& backend, std::size_t count) {
    return random_array(backend, count, backend.compute_dtype(), MemoryClass::kActivations);
  }
  [[nodiscard]] std::size_t bytes() const {
    return query.bytes() + keys.bytes() + values.bytes() + out.bytes();
  }

  Buffer query;
  Buffer keys;
  Buffer values;
  Buffer out;
};

void attend(Backend& backend,
            const HeadShape& shape,
            const PromptCase& params,
            const Prompt& prompt) {
  const std::int64_t head_stride = std::int64_t{params.past + params.tokens} * shape.head_dim;
  backend.prefill_attend({.out = prompt.out.data(),
                          .query = prompt.query.data(),
                          .kv = {.keys = prompt.keys.data(),
                                 .values = prompt.values.data(),
                                 .dtype = backend.compute_dtype(),
                                 .batch_stride = head_stride * shape.kv_heads,
                                 .head_stride = head_stride},
                          .past = params.past,
                          .tokens = params.tokens,
                          .shape = shape,
                          .batch = params.batch,
                          .scale = kScale});
}

void bench_prompt(benchmark::State& state,
                  const ModelShape& model,
                  const DeviceInfo& device,
                  const PromptCase& params) {
  const auto backend = make_backend(device, {.compute = model.dtype});
  std::vector<Prompt> prompts;
  PassCost cost;
  do {
    prompts.emplace_back(*backend, model.heads, params);
    cost.bytes += static_cast<double>(prompts.back().bytes());
    cost.flops += params.flops(model.heads);
  } while (cost.bytes < static_cast<double>(kBeyondCache));
  run_passes(state, *backend, cost, [&] {
    for (const Prompt& prompt : prompts) {
      attend(*backend, model.heads, params, prompt);
    }
  });
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const DeviceInfo& device : available_devices()) {
    if (device.kind == DeviceKind::kCpu) {
      continue;
    }
    for (const ModelShape& model : bench_shapes(device.kind)) {
      for (const PromptCase& params : {PromptCase{1, 0, 2000},
                                       PromptCase{1, 0, 32000},
                                       PromptCase{1, 30000, 2000},
                                       PromptCase{16, 0, 2000}}) {
        const std::string name = "prefill_attend/" + model.name + "/" + device.id +
                                 "/tokens:" + std::to_string(params.tokens) +
                                 "/past:" + std::to_string(params.past) +
                                 "/batch:" + std::to_string(params.batch);
        add_bench(name, [model, device, params](benchmark::State& state) {
          bench_prompt(state, model, device, params);
        });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace kvg::kernels
