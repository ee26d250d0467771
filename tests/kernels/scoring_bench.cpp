#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/bench_pass.h"

// The operations of selections on one layer of Llama-3.1-8B's shape in bf16 on CUDA: after a prompt
// of 32000 tokens, and in a step of a cache that evicts at a budget.

namespace kvg::kernels {
namespace {

constexpr HeadShape kHeads = {.heads = 32, .kv_heads = 8, .head_dim = 128};
constexpr int kHidden = 4096;
constexpr int kTokens = 32000;
constexpr int kFuture = 512;
constexpr int kWindow = 32;
constexpr int kPage = 16;
constexpr std::size_t kRow = static_cast<std::size_t>(kHeads.heads) * kHeads.head_dim;
constexpr std::size_t kKvRow = static_cast<std::size_t>(kHeads.kv_heads) * kHeads.head_dim;

class Layer {
 public:
  explicit Layer(int budget = 0)
      : backend_(make_backend(find_device("cuda"), {.compute = DType::kBF16})),
        budget_(budget),
        query_(random(kTokens * kRow, DType::kBF16)),
        keys_(random(kTokens * kKvRow, DType::kBF16)),
        values_(random(kTokens * kKvRow, DType::kBF16)),
        weight_(random(kHidden * kRow, DType::kBF16)),
        table_(random(std::size_t{kTokens + kFuture} * kHeads.head_dim, DType::kF32)),
        rows_(random(std::size_t{kTokens} * kHeads.heads, DType::kF32)),
        logits_(random(std::size_t{kTokens} * kHeads.kv_heads * kWindow, DType::kF32)),
        out_(bytes(kTokens * kRow * 2)),
        scores_(bytes(std::size_t{kTokens} * kHeads.kv_heads * sizeof(double))),
        sums_(bytes(kRow * sizeof(double))),
        products_(bytes(kRow * kHeads.head_dim * sizeof(double))),
        bounds_(random(2 * kTokens / kPage * kKvRow, DType::kF32)),
        places_(bytes(std::size_t{kTokens} * kHeads.kv_heads * sizeof(std::int32_t))),
        heads_(bytes(kHeads.kv_heads * sizeof(HeadCursor))),
        cursor_(bytes(sizeof(StepCursor))) {
    workspace_ = backend_->make_workspace({.batch = 1,
                                           .rows = 1,
                                           .hidden = kHidden,
                                           .features = kHidden,
                                           .heads = kHeads,
                                           .entries = kTokens,
                                           .scored_keys = kTokens,
                                           .scored_slots = budget_ == 0 ? 0 : budget_ + 1,
                                           .scored_pages = kTokens / kPage});
    scoring().clear(sums_.data(), sums_.bytes());
    scoring().clear(products_.data(), products_.bytes());
    scoring().random(prompt(), 1, 0);
    place_heads();
  }

  Scoring& scoring() { return backend_->scoring(); }
  Backend& backend() { return *backend_; }

  void column_sums(Reduce reduce) {
    scoring().column_sums({.out = scores_.as<double>(),
                           .chunk = chunk(),
                           .kv = view(),
                           .keys = kTokens,
                           .scale = kScale,
                           .reduce = reduce});
  }
  void column_sums_of_sums() { column_sums(Reduce::kSum); }
  void column_sums_of_largest() { column_sums(Reduce::kMax); }
  void prefill_attend() {
    backend_->prefill_attend({.out = out_.data(),
                              .query = query_.data(),
                              .kv = view(),
                              .tokens = kTokens,
                              .shape = kHeads,
                              .batch = 1,
                              .scale = kScale});
  }
  void window_rows() { window(false); }
  void window_logits() { window(true); }
  void moments() {
    scoring().moments({.sums = sums_.as<double>(),
                       .products = products_.as<double>(),
                       .chunk = chunk(),
                       .turn = turn(),
                       .skip = 4});
  }
  void expected() {
    scoring().expected({.to = prompt(),
                        .sums = sums_.as<double>(),
                        .products = products_.as<double>(),
                        .turn = turn(),
                        .future = kFuture});
  }
  void pool() {
    scoring().pool({.to = prompt(),
                    .rows = rows_.as<float>(),
                    .columns = kTokens - kWindow,
                    .kernel = 5,
                    .reduce = Reduce::kMean});
  }
  void key_likeness() { scoring().key_likeness(prompt()); }
  void lag() { scoring().lag({.to = prompt()}); }
  void output_norms() {
    scoring().output_norms(
        {.to = prompt(), .weight = weight_.data(), .dtype = DType::kBF16, .hidden = kHidden});
  }
  void raise() {
    scoring().raise({.by = scores_.as<double>(),
                     .in = out_.as<double>(),
                     .rows = kHeads.kv_heads,
                     .width = kTokens,
                     .count = 400});
  }
  void choose_alone() { choose(false); }
  void choose_together() { choose(true); }
  void page_bounds() {
    scoring().page_bounds({.bounds = bounds_.as<float>(),
                           .pages = kTokens / kPage,
                           .page = kPage,
                           .from = view(),
                           .keys = kTokens,
                           .shape = kHeads,
                           .batch = 1});
  }
  void choose_pages() {
    scoring().choose_pages({.pages = places_.as<std::int32_t>(),
                            .count = 2048 / kPage,
                            .bounds = bounds_.as<float>(),
                            .all_pages = kTokens / kPage,
                            .page = kPage,
                            .query = query_.data(),
                            .heads = heads_.as<HeadCursor>(),
                            .shape = kHeads,
                            .batch = 1});
  }
  void evict_sums() { evict(Update::kSum, Reduce::kSum); }
  void evict_over_all() { evict(Update::kReplace, Reduce::kAll); }
  void evict_unscored() { evict(Update::kNone, Reduce::kSum); }
  void redundancy() {
    scoring().redundancy({.scores = scores_.as<double>(),
                          .positions = places_.as<std::int32_t>(),
                          .keys = {.keys = {.form = native_form(DType::kBF16),
                                            .codes = keys_.data(),
                                            .channels = kHeads.head_dim},
                                   .heads = heads_.as<HeadCursor>(),
                                   .slots = std::int64_t{budget_ + 1} * kHeads.kv_heads,
                                   .capacity = budget_ + 1},
                          .logits = logits_.as<float>(),
                          .rows = rows_.as<float>(),
                          .cursor = cursor_.as<StepCursor>(),
                          .shape = kHeads,
                          .batch = 1});
  }

 private:
  static constexpr float kScale = 0.088388F;

  Buffer bytes(std::size_t count) {
    return backend_->pool().allocate(count, MemoryClass::kObservations);
  }
  Buffer random(std::size_t count, DType dtype) {
    std::uniform_real_distribution<float> distribution(-2.0F, 2.0F);
    std::vector<float> block(std::size_t{1} << 16U);
    for (float& x : block) {
      x = distribution(generator_);
    }
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = block[(i * 31 + i / 4099) % block.size()];
    }
    std::vector<std::byte> stored(count * size_of(dtype));
    convert(stored.data(), dtype, values.data(), DType::kF32, count);
    Buffer buffer = bytes(stored.size());
    backend_->upload(buffer.data(), stored.data(), stored.size());
    return buffer;
  }
  // Full heads of a step, or with no budget those after the prompt.
  void place_heads() {
    const std::int32_t entries = budget_ == 0 ? kTokens : budget_ + 1;
    std::vector<HeadCursor> heads;
    std::vector<std::int32_t> positions;
    for (int head = 0; head < kHeads.kv_heads; ++head) {
      heads.push_back(
          {.start = head * entries, .limit = entries, .entries = entries, .slot = entries - 1});
      for (std::int32_t slot = 0; slot < entries; ++slot) {
        positions.push_back(slot);
      }
    }
    const StepCursor cursor = {.position = entries - 1};
    backend_->upload(heads_.data(), heads.data(), heads_.bytes());
    backend_->upload(places_.data(), positions.data(), positions.size() * sizeof(std::int32_t));
    backend_->upload(cursor_.data(), &cursor, sizeof(cursor));
  }

  [[nodiscard]] KvView view() const {
    const std::int64_t head_stride = std::int64_t{kTokens} * kHeads.head_dim;
    return {.keys = keys_.data(),
            .values = values_.data(),
            .dtype = DType::kBF16,
            .batch_stride = head_stride * kHeads.kv_heads,
            .head_stride = head_stride};
  }
  [[nodiscard]] QueryChunk chunk() const {
    return {.query = query_.data(), .batch = 1, .tokens = kTokens, .shape = kHeads};
  }
  [[nodiscard]] Turn turn() const {
    return {.table = table_.as<float>(), .rotary_dim = kHeads.head_dim};
  }
  [[nodiscard]] PromptScores prompt() const {
    return {
        .out = scores_.as<double>(), .kv = view(), .keys = kTokens, .shape = kHeads, .batch = 1};
  }
  void window(bool logits) {
    scoring().window_rows({.out = logits ? logits_.as<float>() : rows_.as<float>(),
                           .query = query_.data(),
                           .kv = view(),
                           .window = kWindow,
                           .keys = kTokens,
                           .shape = kHeads,
                           .batch = 1,
                           .scale = kScale,
                           .logits = logits});
  }
  void choose(bool together) {
    scoring().choose({.scores = scores_.as<double>(),
                      .keys = kTokens,
                      .batch = 1,
                      .kv_heads = kHeads.kv_heads,
                      .count = 2048,
                      .together = together,
                      .heads = heads_.as<HeadCursor>(),
                      .kept = places_.as<std::int32_t>(),
                      .kept_stride = kTokens});
  }
  void evict(Update update, Reduce reduce) {
    scoring().evict({.cursor = cursor_.as<StepCursor>(),
                     .heads = heads_.as<HeadCursor>(),
                     .scores = scores_.as<double>(),
                     .positions = places_.as<std::int32_t>(),
                     .slots = std::int64_t{budget_ + 1} * kHeads.kv_heads,
                     .rows = rows_.as<float>(),
                     .capacity = budget_ + 1,
                     .shape = kHeads,
                     .batch = 1,
                     .update = update,
                     .reduce = reduce,
                     .recent = 1});
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Workspace> workspace_;
  int budget_;
  std::mt19937 generator_{1};
  Buffer query_;
  Buffer keys_;
  Buffer values_;
  Buffer weight_;
  Buffer table_;
  Buffer rows_;
  Buffer logits_;
  Buffer out_;
  Buffer scores_;
  Buffer sums_;
  Buffer products_;
  Buffer bounds_;
  Buffer places_;
  Buffer heads_;
  Buffer cursor_;
};

using LayerOp = void (Layer::*)();

// The least that an operation reads and computes; what it reads again is its own affair.
struct Named {
  const char* name;
  LayerOp op;
  PassCost cost;
};

// Time of one operation among `repeats` in a row, so that launching is hidden as in a prompt.
void bench(benchmark::State& state, Layer& layer, const Named& named, int repeats) {
  (layer.*named.op)();
  layer.backend().synchronize();
  double total = 0.0;
  while (state.KeepRunning()) {
    const double seconds = layer.backend().time([&] {
      for (int i = 0; i < repeats; ++i) {
        (layer.*named.op)();
      }
    });
    total += seconds / repeats;
    state.SetIterationTime(seconds / repeats);
  }
  tell_rates(state, layer.backend(), named.cost, total);
}

constexpr double kKeyBytes = 2.0 * kTokens * kKvRow;
constexpr double kQueryBytes = 2.0 * kTokens * kRow;
// Scores of all pairs of positions that see each other: one product.
constexpr double kPairFlops = static_cast<double>(kTokens) * kTokens * kRow;
constexpr double kScoreBytes = 8.0 * kTokens * kHeads.kv_heads;
constexpr double kBoundBytes = 2.0 * 4.0 * kTokens / kPage * kKvRow;

constexpr Named kPromptOps[] = {
    {"prefill_attend", &Layer::prefill_attend, {2 * kKeyBytes + 2 * kQueryBytes, 2 * kPairFlops}},
    {"column_sums_of_sums", &Layer::column_sums_of_sums, {kKeyBytes + kQueryBytes, kPairFlops}},
    {"column_sums_of_largest",
     &Layer::column_sums_of_largest,
     {kKeyBytes + kQueryBytes, kPairFlops}},
    {"window_rows", &Layer::window_rows, {kKeyBytes, 2.0 * kWindow* kTokens* kRow}},
    {"window_logits", &Layer::window_logits, {kKeyBytes, 2.0 * kWindow* kTokens* kRow}},
    {"moments", &Layer::moments, {kQueryBytes, 1.0 * kTokens* kRow* kHeads.head_dim}},
    {"expected", &Layer::expected, {kKeyBytes, 0.0}},
    {"pool", &Layer::pool, {4.0 * kTokens * kHeads.heads, 0.0}},
    {"key_likeness", &Layer::key_likeness, {kKeyBytes, 0.0}},
    {"lag", &Layer::lag, {2 * kKeyBytes, 0.0}},
    {"output_norms", &Layer::output_norms, {kKeyBytes + 2.0 * kHidden * kRow, 0.0}},
    {"raise", &Layer::raise, {2 * kScoreBytes, 0.0}},
    {"page_bounds", &Layer::page_bounds, {kKeyBytes + kBoundBytes, 0.0}},
    {"choose_pages", &Layer::choose_pages, {kBoundBytes, 0.0}},
    {"choose_alone", &Layer::choose_alone, {kScoreBytes, 0.0}},
    {"choose_together", &Layer::choose_together, {kScoreBytes, 0.0}}};

// An eviction reads a head's scores, one double an entry; a likeness its keys.
void add_steps(int budget) {
  const double scores = 8.0 * (budget + 1) * kHeads.kv_heads;
  const double keys = 2.0 * (budget + 1) * kKvRow;
  const Named ops[] = {{"evict_unscored", &Layer::evict_unscored, {scores, 0.0}},
                       {"evict_sums", &Layer::evict_sums, {scores, 0.0}},
                       {"evict_over_all", &Layer::evict_over_all, {scores, 0.0}},
                       {"redundancy", &Layer::redundancy, {keys, 0.0}}};
  for (const Named& named : ops) {
    add_bench(std::string(named.name) + "/" + std::to_string(budget),
              [named, budget](benchmark::State& state) {
                Layer layer(budget);
                bench(state, layer, named, 64);
              });
  }
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Named& named : kPromptOps) {
    add_bench(named.name, [named](benchmark::State& state) {
      // One layer for all: its arrays take longer to fill than most operations take.
      static Layer layer;
      bench(state, layer, named, 4);
    });
  }
  for (const int budget : {512, 4096}) {
    add_steps(budget);
  }
  return true;
}();

}  // namespace
}  // namespace kvg::kernels

BENCHMARK_MAIN();
