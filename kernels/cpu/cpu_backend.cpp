#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cblas.h>
#include <chrono>
#include <cstring>
#include <sched.h>
#include <string>
#include <thread>
#include <utility>

#include "kernels/backend.h"
#include "kernels/core/error.h"
#include "kernels/cpu/attend.h"
#include "kernels/cpu/ceilings.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/host.h"
#include "kernels/cpu/matvec.h"
#include "kernels/cpu/projection.h"
#include "kernels/cpu/scoring.h"
#include "kernels/cpu/split_attention.h"
#include "kernels/cpu/store.h"

namespace kvg::kernels {
namespace {

// Cores that this process may run on, containers' sets included.
int usable_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0
             ? CPU_COUNT(&cores)
             : static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
}

class HostGraph final : public Graph {
 public:
  explicit HostGraph(std::function<void()> step) : step_(std::move(step)) {}
  void launch() override { step_(); }
  [[nodiscard]] std::size_t kernels() const override { return 0; }

 private:
  std::function<void()> step_;
};

// Runs every operation at once, on the calling thread and its team.
class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : device_(cpu_device()), team_(options.threads == 0 ? usable_cores() : options.threads) {
    pool_.set_limit(options.memory_limit);
    // The team shares out tiles itself.
    openblas_set_num_threads(1);
  }

  [[nodiscard]] const DeviceInfo& device() const override { return device_; }
  [[nodiscard]] DType compute_dtype() const override { return DType::kF32; }
  [[nodiscard]] Pool& pool() override { return pool_; }
  [[nodiscard]] Pool& host_pool() override { return host_pool_; }
  [[nodiscard]] std::size_t process_bytes() const override { return cpu::resident_bytes(); }

  [[nodiscard]] std::size_t workspace_bytes(const WorkspaceShape& shape) const override {
    return cpu::plan_scratch(shape, team_.threads()).total() * sizeof(float);
  }
  [[nodiscard]] std::unique_ptr<Workspace> make_workspace(const WorkspaceShape& shape) override {
    return std::make_unique<cpu::CpuWorkspace>(
        pool_, cpu::plan_scratch(shape, team_.threads()), scratch_);
  }
  void use_workspace(Workspace& workspace) override {
    dynamic_cast<cpu::CpuWorkspace&>(workspace).use();
  }

  void upload(void* device, const void* host, std::size_t bytes) override {
    copy(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    copy(host, device, bytes);
  }
  void synchronize() override {}

  void embed(const EmbedArgs& args) override;
  void project_qkv(const QkvArgs& args) override { cpu::project_qkv(args, resources()); }
  void append(const AppendArgs& args) override { cpu::append(args, resources()); }
  void attend(const AttendArgs& args) override { cpu::attend(args, resources()); }
  void settle(const SettleArgs& args) override { cpu::settle(args, resources()); }
  void prefill_attend(const PrefillAttendArgs& args) override {
    cpu::prefill_attend(args, resources());
  }
  void store(const StoreArgs& args) override { cpu::store(args, resources()); }
  void project(const ProjectArgs& args) override { cpu::project(args, resources()); }
  void add_project(const AddProjectArgs& args) override { cpu::add_project(args, resources()); }
  void score(const ScoreArgs& args) override;
  void compare(const CompareArgs& args) override;
  void advance(const AdvanceArgs& args) override;
  [[nodiscard]] Scoring& scoring() override { return scoring_; }

  [[nodiscard]] std::unique_ptr<Graph> capture(const std::function<void()>& step) override {
    return std::make_unique<HostGraph>(step);
  }

  [[nodiscard]] double time(const std::function<void()>& work) override {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  [[nodiscard]] Ceilings measure_ceilings(const CeilingSizes& sizes) override {
    return cpu::measure_ceilings(team_, pool_, sizes);
  }

 private:
  [[nodiscard]] cpu::Resources resources() { return {.scratch = scratch_, .team = team_}; }

  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes != 0) {
      std::memcpy(to, from, bytes);
    }
  }

  DeviceInfo device_;
  cpu::Team team_;
  cpu::HostPool pool_;
  cpu::HostPool host_pool_;
  cpu::Scratch scratch_;  ///< of the workspace in use
  cpu::CpuScoring scoring_{scratch_, team_};
};

void CpuBackend::embed(const EmbedArgs& args) {
  const auto hidden = static_cast<std::size_t>(args.hidden);
  for (int row = 0; row < args.rows; ++row) {
    const auto* table = static_cast<const std::byte*>(args.table);
    cpu::widen(args.out + static_cast<std::size_t>(row) * hidden,
               table + static_cast<std::size_t>(args.tokens[row]) * hidden * size_of(args.dtype),
               args.dtype,
               hidden);
  }
}

void CpuBackend::advance(const AdvanceArgs& args) {
  for (int head = 0; head < args.count; ++head) {
    args.heads[head] = next_of(args.heads[head]);
  }
  ++args.cursor->position;
  args.cursor->sink_position =
      args.cache_positions ? args.heads[0].entries - 1 : args.cursor->position;
}

void CpuBackend::score(const ScoreArgs& args) {
  team_.run(args.rows, [&](int row, int) {
    const float* logits = args.logits + static_cast<std::ptrdiff_t>(row) * args.vocab;
    const cpu::RowScore result = cpu::score_row(logits, args.vocab, args.targets[row]);
    args.nll[row] = result.nll;
    args.best[row] = result.best;
  });
}

void CpuBackend::compare(const CompareArgs& args) {
  team_.run(args.rows, [&](int row, int) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(row) * args.vocab;
    args.kl[row] = cpu::divergence(args.reference + first, args.logits + first, args.vocab);
  });
}

}  // namespace

DeviceInfo cpu_device() {
  return {.kind = DeviceKind::kCpu,
          .index = 0,
          .id = "cpu",
          .name = cpu::processor_name(),
          .total_bytes = cpu::memory_figure("MemTotal"),
          .free_bytes = cpu::memory_figure("MemAvailable"),
          .compute_capability = {},
          .driver = {},
          .runtime = {},
          .gemm = std::string("openblas ") + openblas_get_corename() +
                  ", matrix-vector kernels up to " + std::to_string(cpu::kFewRows) + " rows",
          .prefill_attention = "sgemm tiles of " + std::to_string(cpu::kTileQueries) + " queries",
          .decode_attention =
              "splits of " + std::to_string(cpu::kSplitEntries) + " entries, vector kernels"};
}

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  if (options.compute != DType::kF32) {
    throw InvalidArgument("the cpu computes in f32, not in " +
                          std::string(name_of(options.compute)));
  }
  if (options.threads < 0) {
    throw InvalidArgument("threads must be at least 1, or 0 for all; got " +
                          std::to_string(options.threads));
  }
  return std::make_unique<CpuBackend>(options);
}

}  // namespace kvg::kernels
