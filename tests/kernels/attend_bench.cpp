#include <algorithm>
#include <benchmark/benchmark.h>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/bench_pass.h"
#include "tests/kernels/form_cases.h"

// Attention of a step, and the storing of a prompt, in every form, on a CUDA device. Layers are as
// many as move more than a cache of the device holds, each with memory of its own, and all of them
// go as one recorded step, so that launching is not what is timed.

namespace kvg::kernels {
namespace {

constexpr int kHeadDim = 128;
constexpr std::size_t kBeyondCache = std::size_t{1} << 30;
constexpr int kMostLayers = 64;
// Entries of a head that are truly random; longer prompts repeat them.
constexpr int kRandomEntries = 1024;

struct Bench {
  FormCase form;
  HeadShape shape;
  int entries;
};

Buffer random_halves(Backend& backend, std::size_t count, unsigned seed) {
  std::mt19937 generator{seed};
  std::normal_distribution<float> distribution;
  std::vector<float> wide(count);
  for (float& x : wide) {
    x = distribution(generator);
  }
  std::vector<std::uint16_t> narrow(count);
  convert(narrow.data(), DType::kF16, wide.data(), DType::kF32, count);
  Buffer buffer = backend.pool().allocate(count * 2, MemoryClass::kActivations);
  backend.upload(buffer.data(), narrow.data(), buffer.bytes());
  return buffer;
}

template <typename T>
Buffer uploaded(Backend& backend, const std::vector<T>& values) {
  Buffer buffer = backend.pool().allocate(values.size() * sizeof(T), MemoryClass::kKv);
  backend.upload(buffer.data(), values.data(), buffer.bytes());
  return buffer;
}

std::size_t product(std::int64_t a, std::size_t b) {
  return static_cast<std::size_t>(a) * b;
}

// Side of a layer with the memory that it owns.
struct OwnedSide {
  StoredSide side{};
  Buffer codes;
  Buffer scales;
  Buffer waiting;
};

class Layers {
 public:
  explicit Layers(const Bench& bench)
      : bench_(bench),
        backend_(make_backend(find_device("cuda"), {.compute = DType::kF16})),
        query_(random_halves(*backend_, width(), 1)),
        out_(random_halves(*backend_, width(), 2)),
        random_keys_(random_halves(*backend_, source_elements(), 3)),
        random_values_(random_halves(*backend_, source_elements(), 4)),
        kept_(uploaded(*backend_, kept())),
        kept_channels_(uploaded(*backend_, kept_channels())),
        heads_(uploaded(*backend_, heads())) {
    workspace_ = backend_->make_workspace({.hidden = static_cast<int>(width()),
                                           .features = static_cast<int>(width()),
                                           .heads = bench.shape,
                                           .entries = bench.entries});
    std::size_t bytes = 0;
    do {
      keys_.push_back(make_side(bench.form.keys, bench.form.waiting_keys, true));
      values_.push_back(make_side(bench.form.values, bench.form.waiting_values, false));
      bytes += layer_bytes();
    } while (bytes < kBeyondCache && count() < kMostLayers);
    store();
    backend_->synchronize();
  }

  [[nodiscard]] int count() const { return static_cast<int>(keys_.size()); }
  [[nodiscard]] std::size_t layer_bytes() const {
    const auto bytes_of = [](const OwnedSide& owned) {
      return owned.codes.bytes() + owned.scales.bytes();
    };
    return bytes_of(keys_.front()) + bytes_of(values_.front());
  }
  [[nodiscard]] Backend& backend() { return *backend_; }

  void attend() {
    for (int layer = 0; layer < count(); ++layer) {
      backend_->attend({.out = out_.data(),
                        .query = query_.data(),
                        .kv = view(layer),
                        .shape = bench_.shape,
                        .batch = 1,
                        .scale = 0.0883883F});
    }
  }
  void store() {
    const std::int64_t head_stride = std::int64_t{kRandomEntries} * kHeadDim;
    for (int layer = 0; layer < count(); ++layer) {
      backend_->store({.from = {.keys = random_keys_.data(),
                                .values = random_values_.data(),
                                .dtype = DType::kF16,
                                .batch_stride = head_stride * bench_.shape.kv_heads,
                                .head_stride = head_stride},
                       .kept = kept_.as<std::int32_t>(),
                       .kept_stride = bench_.entries,
                       .to = view(layer),
                       .shape = bench_.shape,
                       .batch = 1});
    }
  }

 private:
  [[nodiscard]] std::size_t width() const { return product(bench_.shape.heads, kHeadDim); }
  [[nodiscard]] std::int64_t slots() const {
    return std::int64_t{bench_.entries} * bench_.shape.kv_heads;
  }
  [[nodiscard]] std::size_t source_elements() const {
    return product(bench_.shape.kv_heads, std::size_t{kRandomEntries} * kHeadDim);
  }
  [[nodiscard]] std::vector<std::int32_t> kept() const {
    std::vector<std::int32_t> all;
    for (std::int64_t i = 0; i < slots(); ++i) {
      all.push_back(static_cast<std::int32_t>(i % bench_.entries % kRandomEntries));
    }
    return all;
  }
  [[nodiscard]] std::vector<std::int16_t> kept_channels() const {
    std::vector<std::int16_t> all;
    const int stored = bench_.form.key_channels(kHeadDim);
    for (int i = 0; i < bench_.shape.kv_heads * stored; ++i) {
      all.push_back(static_cast<std::int16_t>(i % stored * kHeadDim / stored));
    }
    return all;
  }
  [[nodiscard]] std::vector<HeadCursor> heads() const {
    std::vector<HeadCursor> all;
    for (int head = 0; head < bench_.shape.kv_heads; ++head) {
      HeadCursor cursor = {
          .start = head * bench_.entries, .entries = bench_.entries, .slot = bench_.entries - 1};
      if (bench_.form.waiting_keys > 0) {
        cursor.packed_keys = bench_.entries / bench_.form.waiting_keys * bench_.form.waiting_keys;
      }
      if (bench_.form.waiting_values > 0) {
        cursor.packed_values = bench_.entries - bench_.form.waiting_values;
      }
      all.push_back(cursor);
    }
    return all;
  }

  [[nodiscard]] OwnedSide make_side(const Form& form, int waiting_slots, bool is_keys) {
    OwnedSide owned;
    const bool pruned = is_keys && bench_.form.pruned > 0;
    owned.side.form = form;
    owned.side.channels = pruned ? bench_.form.key_channels(kHeadDim) : kHeadDim;
    const auto take = [&](std::size_t bytes) {
      return backend_->pool().allocate(bytes, MemoryClass::kKv);
    };
    owned.codes = take(product(slots(), code_row_bytes(form, owned.side.channels)));
    owned.side.codes = owned.codes.data();
    if (form.group > 0) {
      const std::int64_t rows = form.per_channel ? slots() / form.group : slots();
      owned.scales = take(product(rows, scale_row_bytes(form, owned.side.channels)));
      owned.side.scales = owned.scales.data();
    }
    if (waiting_slots > 0) {
      owned.waiting = take(product(bench_.shape.kv_heads * waiting_slots, kHeadDim * 2));
      owned.side.waiting = owned.waiting.data();
      owned.side.waiting_slots = waiting_slots;
    }
    if (pruned) {
      owned.side.kept_channels = kept_channels_.as<std::int16_t>();
    }
    return owned;
  }
  [[nodiscard]] StoredView view(int layer) {
    return {.keys = keys_[static_cast<std::size_t>(layer)].side,
            .values = values_[static_cast<std::size_t>(layer)].side,
            .heads = heads_.as<HeadCursor>(),
            .slots = slots(),
            .capacity = bench_.entries};
  }

  Bench bench_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Workspace> workspace_;
  Buffer query_;
  Buffer out_;
  Buffer random_keys_;
  Buffer random_values_;
  Buffer kept_;
  Buffer kept_channels_;
  Buffer heads_;
  std::vector<OwnedSide> keys_;
  std::vector<OwnedSide> values_;
};

using Step = void (Layers::*)();

void bench_layers(benchmark::State& state, const Bench& bench, Step step) {
  Layers layers(bench);
  const double bytes = static_cast<double>(layers.layer_bytes()) * layers.count();
  run_passes(state, layers.backend(), {.bytes = bytes}, [&] { (layers.*step)(); });
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const double entries = static_cast<double>(bench.entries) * bench.shape.kv_heads;
  state.counters["entries/s"] = benchmark::Counter(entries * layers.count(), rate);
  state.counters["layer_s"] =
      benchmark::Counter(layers.count(), rate | benchmark::Counter::kInvert);
}

void register_all() {
  struct Size {
    int heads;
    int kv_heads;
    int entries;
  };
  constexpr Size kSizes[] = {
      {32, 32, 32768}, {32, 8, 32768}, {32, 8, 2000}, {32, 32, 2000}, {4, 2, 256}};
  for (const FormCase& form : form_cases(kHeadDim)) {
    if (form.keys == native_form(DType::kF32) || form.name == "bf16") {
      continue;
    }
    for (const Size& size : kSizes) {
      const Bench bench = {
          .form = form,
          .shape = {.heads = size.heads, .kv_heads = size.kv_heads, .head_dim = kHeadDim},
          .entries = size.entries};
      const std::string name = form.name + "/" + std::to_string(size.heads) + "/" +
                               std::to_string(size.kv_heads) + "/" + std::to_string(size.entries);
      add_bench("attend/" + name,
                [bench](benchmark::State& state) { bench_layers(state, bench, &Layers::attend); });
      if (size.heads == size.kv_heads && size.entries > 10000) {
        add_bench("store/" + name,
                  [bench](benchmark::State& state) { bench_layers(state, bench, &Layers::store); });
      }
    }
  }
}

[[maybe_unused]] const bool kRegistered = [] {
  const std::vector<DeviceInfo> devices = available_devices();
  const bool found = std::any_of(devices.begin(), devices.end(), [](const DeviceInfo& device) {
    return device.kind == DeviceKind::kCuda;
  });
  if (found) {
    register_all();
  }
  return found;
}();

}  // namespace
}  // namespace kvg::kernels
