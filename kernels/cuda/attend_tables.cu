#include "kernels/cuda/attend_kernel.cuh"

// Decode attention over codes that name levels.

namespace kvg::kernels {

template void launch_attend<FormClass::kTable4, FormClass::kTable4>(const Target&,
                                                                    const AttendKernelArgs&,
                                                                    AttendKind);
template void launch_attend<FormClass::kTable3, FormClass::kTable3>(const Target&,
                                                                    const AttendKernelArgs&,
                                                                    AttendKind);

}  // namespace kvg::kernels
