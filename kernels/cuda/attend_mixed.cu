#include "kernels/cuda/attend_kernel.cuh"

// Decode attention over keys with more bits than the values.

namespace kvg::kernels {

template void launch_attend<FormClass::kInt8, FormClass::kInt4>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);
template void launch_attend<FormClass::kE4M3, FormClass::kInt4>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);
template void launch_attend<FormClass::kF32, FormClass::kInt4>(const Target&,
                                                               const AttendKernelArgs&,
                                                               AttendKind);
template void launch_attend<FormClass::kF16, FormClass::kInt4>(const Target&,
                                                               const AttendKernelArgs&,
                                                               AttendKind);
template void launch_attend<FormClass::kBF16, FormClass::kInt4>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);

}  // namespace kvg::kernels
