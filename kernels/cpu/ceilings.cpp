#include "kernels/cpu/ceilings.h"

#include <algorithm>
#include <cblas.h>
#include <chrono>
#include <random>

#include "kernels/cpu/vector.h"

namespace kvg::kernels::cpu {
namespace {

constexpr std::size_t kLeastRead = std::size_t{8} << 20U;
constexpr std::size_t kMostRead = std::size_t{128} << 20U;
// Floats of one task: few enough to share out evenly, too many for claims to matter.
constexpr std::size_t kChunk = std::size_t{1} << 16U;
constexpr int kRepeats = 8;
// Rows, columns and depth of a task's product.
constexpr int kSide = 512;
constexpr int kProductsOfAThread = 3;
constexpr int kEmptyJobs = 1000;

// Of several tries the best: what disturbs a try only ever makes it longer.
template <typename Work>
double best_seconds(const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 0.0;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

// Four chains of additions, so that loads are what is waited for.
KVG_CLONES float sum_of_chunk(const float* in) {
  Floats sums[4] = {};
  for (std::size_t i = 0; i < kChunk; i += 4 * kLanes) {
    for (std::size_t j = 0; j < 4; ++j) {
      sums[j] += load_lanes<Floats>(in + i + j * kLanes);
    }
  }
  return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void measure_memory(Team& team, Pool& pool, const CeilingSizes& sizes, Ceilings& ceilings) {
  const std::size_t wanted = std::clamp(sizes.working_set, kLeastRead, kMostRead);
  const std::size_t bytes =
      std::min(wanted, sizes.room) / (2 * kChunk * sizeof(float)) * (2 * kChunk * sizeof(float));
  if (bytes < kLeastRead / 2) {
    return;
  }
  const int chunks = static_cast<int>(bytes / (kChunk * sizeof(float)));
  const Buffer memory = pool.allocate(bytes, MemoryClass::kWorkspace);
  const Buffer sums =
      pool.allocate(static_cast<std::size_t>(chunks) * sizeof(float), MemoryClass::kWorkspace);
  auto* const data = memory.as<float>();
  const auto chunk = [data](int index) { return data + static_cast<std::size_t>(index) * kChunk; };
  team.run(chunks, [&](int task, int) { std::fill_n(chunk(task), kChunk, 1.0F); });
  const auto size = static_cast<double>(bytes);
  ceilings.read_gbps = size / 1e9 / best_seconds([&] {
                         team.run(chunks, [&](int task, int) {
                           sums.as<float>()[task] = sum_of_chunk(chunk(task));
                         });
                       });
  const int half = chunks / 2;
  // Half is read and half is written: all of it moves.
  ceilings.copy_gbps = size / 1e9 / best_seconds([&] {
                         team.run(half, [&](int task, int) {
                           std::copy_n(chunk(task), kChunk, chunk(half + task));
                         });
                       });
}

void measure_product(Team& team, Pool& pool, const CeilingSizes& sizes, Ceilings& ceilings) {
  constexpr std::size_t kCount = std::size_t{kSide} * kSide;
  const auto threads = static_cast<std::size_t>(team.threads());
  const std::size_t bytes = (2 + threads) * kCount * sizeof(float);
  if (bytes > sizes.room) {
    return;
  }
  const Buffer matrices = pool.allocate(bytes, MemoryClass::kWorkspace);
  auto* const left = matrices.as<float>();
  float* const right = left + kCount;
  std::mt19937 generator{1};
  std::uniform_real_distribution<float> distribution(-1.0F, 1.0F);
  std::generate_n(left, 2 * kCount, [&] { return distribution(generator); });
  const int products = team.threads() * kProductsOfAThread;
  const double seconds = best_seconds([&] {
    team.run(products, [&](int, int thread) {
      float* out = right + (1 + static_cast<std::size_t>(thread)) * kCount;
      cblas_sgemm(CblasRowMajor,
                  CblasNoTrans,
                  CblasTrans,
                  kSide,
                  kSide,
                  kSide,
                  1.0F,
                  left,
                  kSide,
                  right,
                  kSide,
                  0.0F,
                  out,
                  kSide);
    });
  });
  ceilings.gemm_tflops = 2.0 * kSide * static_cast<double>(kCount) * products / seconds / 1e12;
}

}  // namespace

Ceilings measure_ceilings(Team& team, Pool& pool, const CeilingSizes& sizes) {
  Ceilings ceilings;
  measure_memory(team, pool, sizes, ceilings);
  measure_product(team, pool, sizes, ceilings);
  const double jobs = best_seconds([&team] {
    for (int i = 0; i < kEmptyJobs; ++i) {
      team.run(team.threads(), [](int, int) {});
    }
  });
  ceilings.kernel_us = jobs / kEmptyJobs * 1e6;
  return ceilings;
}

}  // namespace kvg::kernels::cpu
