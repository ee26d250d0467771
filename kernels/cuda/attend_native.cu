#include "kernels/cuda/attend_kernel.cuh"

// Decode attention over unquantised entries.

namespace kvg::kernels {

template void launch_attend<FormClass::kF32, FormClass::kF32>(const Target&,
                                                              const AttendKernelArgs&,
                                                              AttendKind);
template void launch_attend<FormClass::kF16, FormClass::kF16>(const Target&,
                                                              const AttendKernelArgs&,
                                                              AttendKind);
template void launch_attend<FormClass::kBF16, FormClass::kBF16>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);

}  // namespace kvg::kernels
