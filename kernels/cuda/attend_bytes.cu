#include "kernels/cuda/attend_kernel.cuh"

// Decode attention over codes of 8 bits.

namespace kvg::kernels {

template void launch_attend<FormClass::kE4M3, FormClass::kE4M3>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);
template void launch_attend<FormClass::kE5M2, FormClass::kE5M2>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);
template void launch_attend<FormClass::kInt8, FormClass::kInt8>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);

}  // namespace kvg::kernels
