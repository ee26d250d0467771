#pragma once

#include <cstddef>

#include "model/activations.h"
#include "model/runner.h"

namespace kvg::model {

/// Throws InvalidArgument for a run that the model cannot take under this policy.
void check_run(const Config& config,
               const kvcompress::Policy& policy,
               const RunShape& shape,
               DType compute);

[[nodiscard]] kvcompress::CacheShape cache_shape(const Config& config,
                                                 const RunShape& shape,
                                                 DType compute);

[[nodiscard]] Extras extras_of(const kvcompress::Policy& policy,
                               const kvcompress::CacheShape& cache);

[[nodiscard]] kernels::WorkspaceShape workspace_shape(const Config& config,
                                                      const kvcompress::Policy& policy,
                                                      const RunShape& shape,
                                                      DType compute);

}  // namespace kvg::model
