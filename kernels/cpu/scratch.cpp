#include "kernels/cpu/scratch.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/cpu/scoring_scratch.h"
#include "kernels/cpu/split_attention.h"
#include "kernels/cpu/stored_rows.h"

namespace kvg::kernels::cpu {
namespace {

// Pieces start on a cache line, so that threads share none.
constexpr std::size_t kLineFloats = 16;

std::size_t rounded(std::size_t count) {
  return (count + kLineFloats - 1) / kLineFloats * kLineFloats;
}

void expect_room(std::size_t asked, std::size_t reserved) {
  KVG_EXPECT(asked <= reserved,
             "workspace was reserved for " + std::to_string(reserved) + " floats, not " +
                 std::to_string(asked));
}

}  // namespace

std::size_t product_tile_floats(int rows, std::size_t in) {
  if (rows <= kFewRows) {
    return 0;
  }
  return (in + static_cast<std::size_t>(std::min(rows, kTileRows))) * kTileFeatures;
}

std::size_t step_tile_floats(std::size_t group, std::size_t head_dim) {
  // Scores, then a tile of keys or values as f32, two turned queries, and what reading a row takes.
  const std::size_t attention = group * kSplitEntries + kSplitEntries * head_dim +
                                2 * group * head_dim + row_scratch_floats(head_dim);
  return std::max(attention, writer_floats(head_dim));
}

std::size_t prefill_tile_floats(int tokens, std::int64_t entries) {
  return static_cast<std::size_t>(std::min(tokens, kTileQueries)) *
         static_cast<std::size_t>(entries);
}

ScratchPlan plan_scratch(const WorkspaceShape& shape, int threads) {
  const auto heads = static_cast<std::size_t>(shape.heads.heads);
  const auto head_dim = static_cast<std::size_t>(shape.heads.head_dim);
  const auto group = heads / static_cast<std::size_t>(std::max(shape.heads.kv_heads, 1));
  const auto splits = static_cast<std::size_t>(splits_of(static_cast<std::int32_t>(shape.entries)));
  const auto rows = static_cast<std::size_t>(std::max(shape.rows, shape.batch));
  const std::size_t widest = std::max({static_cast<std::size_t>(shape.hidden),
                                       static_cast<std::size_t>(shape.features),
                                       heads * head_dim});
  ScratchPlan plan;
  plan.normed = rounded(rows * static_cast<std::size_t>(shape.hidden));
  plan.stats = rounded(static_cast<std::size_t>(shape.batch) * heads * splits);
  plan.parts = rounded(static_cast<std::size_t>(shape.batch) * heads * splits * head_dim);
  plan.per_thread = rounded(std::max({product_tile_floats(static_cast<int>(rows), widest),
                                      step_tile_floats(group, head_dim),
                                      prefill_tile_floats(static_cast<int>(rows), shape.entries),
                                      scoring_tile_floats(shape)}));
  plan.figures = rounded(scoring_shared_floats(shape));
  plan.threads = static_cast<std::size_t>(threads);
  return plan;
}

float* Scratch::normed(std::size_t count) const {
  expect_room(count, plan_.normed);
  return data_;
}

float* Scratch::parts(std::size_t count) const {
  expect_room(count, plan_.parts);
  return data_ + plan_.normed;
}

float* Scratch::stats(std::size_t count) const {
  expect_room(count, plan_.stats);
  return data_ + plan_.normed + plan_.parts;
}

float* Scratch::figures(std::size_t count) const {
  expect_room(count, plan_.figures);
  return data_ + plan_.normed + plan_.parts + 2 * plan_.stats;
}

float* Scratch::tiles(std::size_t count_per_thread) const {
  expect_room(count_per_thread, plan_.per_thread);
  return data_ + plan_.normed + plan_.parts + 2 * plan_.stats + plan_.figures;
}

CpuWorkspace::CpuWorkspace(Pool& pool, const ScratchPlan& plan, Scratch& in_use)
    : buffer_(pool.allocate(plan.total() * sizeof(float), MemoryClass::kWorkspace)),
      scratch_(buffer_.as<float>(), plan),
      in_use_(in_use) {
  use();
}

CpuWorkspace::~CpuWorkspace() {
  if (in_use_.is(scratch_)) {
    in_use_ = Scratch();
  }
}

}  // namespace kvg::kernels::cpu
