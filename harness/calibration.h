#pragma once

#include "kernels/backend.h"

namespace kvg::harness {

/// What the backend's device reaches, measured once a process for equal arguments but `sizes.room`,
/// which may be what happens to be free, in under two seconds. Its memory comes from the backend's
/// pool and is given back, peaks included; figures that the first call has no room for are empty.
/// `threads`: of the cpu; 0: all.
[[nodiscard]] kernels::Ceilings calibrate(kernels::Backend& backend,
                                          const kernels::CeilingSizes& sizes,
                                          int threads);

}  // namespace kvg::harness
