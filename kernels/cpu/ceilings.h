#pragma once

#include "kernels/ceilings.h"
#include "kernels/core/memory.h"
#include "kernels/cpu/team.h"

namespace kvg::kernels::cpu {

/// By the team's threads. A processor's caches are its own to use, so memory is read over
/// sizes.working_set bytes (8 to 128 MiB): a model that stays in the cache is held to the cache's
/// speed. The product is OpenBLAS's, in f32; an empty operation is handed to all threads.
[[nodiscard]] Ceilings measure_ceilings(Team& team, Pool& pool, const CeilingSizes& sizes);

}  // namespace kvg::kernels::cpu
