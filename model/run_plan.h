#pragma once

#include <cstddef>
#include <optional>

#include "model/activations.h"
#include "model/runner.h"

namespace kvg::model {

/// What a token sees where texts go through in one pass; empty: they do not, or there are none.
[[nodiscard]] std::optional<kernels::Visibility> pass_of(const Config& config,
                                                         const kvcompress::Policy& policy,
                                                         const RunShape& shape,
                                                         DType compute);

/// The shape that memory is planned for: texts of one pass lie there like prompts.
[[nodiscard]] RunShape planned_shape(const RunShape& shape, bool in_one_pass);

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
/// The same of one pass.
[[nodiscard]] Extras extras_of_pass(const kvcompress::Policy& policy,
                                    const kernels::Visibility& sees);

[[nodiscard]] kernels::WorkspaceShape workspace_shape(const Config& config,
                                                      const kvcompress::Policy& policy,
                                                      const RunShape& shape,
                                                      DType compute);
[[nodiscard]] kernels::WorkspaceShape workspace_shape_of_pass(const Config& config,
                                                              const RunShape& shape);

}  // namespace kvg::model
