#include "kernels/cpu/scoring_scratch.h"

namespace kvg::kernels::cpu {

std::size_t scoring_tile_floats(const WorkspaceShape& shape) {
  const auto slots = static_cast<std::size_t>(shape.scored_slots);
  const auto dim = static_cast<std::size_t>(shape.heads.head_dim);
  const std::size_t steps = std::max(step_tile_floats(static_cast<std::size_t>(shape.entries)),
                                     redundancy_tile_floats(dim, slots));
  if (shape.scored_keys == 0) {
    return steps;
  }
  const auto keys = static_cast<std::size_t>(shape.scored_keys);
  const int group = shape.heads.heads / std::max(shape.heads.kv_heads, 1);
  return std::max({steps,
                   rows_tile_floats(group, keys),
                   entry_tile_floats(dim),
                   output_tile_floats(dim),
                   lag_tile_floats(dim, keys)});
}

std::size_t scoring_shared_floats(const WorkspaceShape& shape) {
  if (shape.scored_keys == 0) {
    return 0;
  }
  const auto keys = static_cast<std::size_t>(shape.scored_keys);
  return std::max(column_shared_floats(keys),
                  expected_shared_floats(static_cast<std::size_t>(shape.heads.head_dim), keys));
}

}  // namespace kvg::kernels::cpu
