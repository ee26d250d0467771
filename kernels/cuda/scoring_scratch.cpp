#include "kernels/cuda/scoring_scratch.cuh"

#include <algorithm>

#include "kernels/cuda/scoring.cuh"

namespace kvg::kernels {

RowScratch row_scratch(Stretches& memory, const Target& target, const ScoredShape& shape) {
  // Blocks per multiprocessor below which the keys are split.
  constexpr std::size_t kBlocks = 4;
  const std::size_t wanted = kBlocks * static_cast<std::size_t>(target.multiprocessors);
  const std::size_t blocks =
      std::max<std::size_t>(shape.rows() * ceil_div(shape.width(), kScoreTile), 1);
  RowScratch scratch;
  scratch.splits = static_cast<int>((wanted + blocks - 1) / blocks);
  const std::size_t rows = shape.rows() * shape.width();
  scratch.rows = memory.take<float2>(rows);
  scratch.partials =
      memory.take<float2>(scratch.splits > 1 ? static_cast<std::size_t>(scratch.splits) * rows : 0);
  return scratch;
}

ExpectedScratch expected_scratch(Stretches& memory, const ScoredShape& shape) {
  ExpectedScratch scratch;
  scratch.mean = memory.take<double>(shape.rows() * shape.dim());
  scratch.covariance = memory.take<double>(shape.rows() * shape.dim() * shape.dim());
  scratch.logits = memory.take<double>(shape.rows() * shape.width());
  scratch.softmax = memory.take<double2>(shape.rows());
  return scratch;
}

ChannelScratch channel_scratch(Stretches& memory, const ScoredShape& shape) {
  ChannelScratch scratch;
  scratch.parts = static_cast<int>(ceil_div(shape.width(), kChannelKeys));
  const std::size_t parts = static_cast<std::size_t>(scratch.parts);
  scratch.partials = memory.take<double>(shape.kv_rows() * parts * shape.dim());
  scratch.sums = memory.take<double>(shape.kv_rows() * shape.dim());
  return scratch;
}

RedundancyScratch redundancy_scratch(Stretches& memory, const ScoredShape& shape) {
  const std::size_t slots = shape.kv_rows() * shape.width();
  RedundancyScratch scratch;
  scratch.units = memory.take<float>(slots * shape.dim());
  scratch.likeness = memory.take<double>(slots);
  scratch.importance = memory.take<double>(slots);
  scratch.age = memory.take<std::int32_t>(slots);
  scratch.removed = memory.take<unsigned long long>(slots);
  return scratch;
}

double* page_scratch(Stretches& memory, const ScoredShape& shape) {
  return memory.take<double>(shape.kv_rows() * shape.width());
}

std::size_t scoring_scratch_bytes(const Target& target, const WorkspaceShape& shape) {
  ScoredShape scored = {.heads = shape.heads, .batch = shape.batch, .count = shape.scored_keys};
  std::size_t most = 0;
  const auto needs = [&most](const auto& lay_out) {
    Stretches counted;
    static_cast<void>(lay_out(counted));
    most = std::max(most, counted.used());
  };
  if (shape.scored_keys > 0) {
    needs([&](Stretches& memory) { return expected_scratch(memory, scored); });
    needs([&](Stretches& memory) { return channel_scratch(memory, scored); });
    // Fewer queries than the whole prompt take more where their keys are split: at most as many
    // parts as there are blocks wanted, and one more each.
    needs([&](Stretches& memory) {
      Target one = target;
      one.multiprocessors = 0;
      const RowScratch rows = row_scratch(memory, one, scored);
      const std::size_t split = 8 * static_cast<std::size_t>(target.multiprocessors) * kScoreTile;
      static_cast<void>(memory.take<float2>(split));
      return rows;
    });
  }
  if (shape.scored_slots > 0) {
    scored.count = shape.scored_slots;
    needs([&](Stretches& memory) { return redundancy_scratch(memory, scored); });
  }
  if (shape.scored_pages > 0) {
    scored.count = shape.scored_pages;
    needs([&](Stretches& memory) { return page_scratch(memory, scored); });
  }
  return most;
}

void CudaScoring::check(const KvView& view) const {
  KVG_EXPECT(view.dtype == compute_, "entries that are scored have the compute dtype");
}

}  // namespace kvg::kernels
