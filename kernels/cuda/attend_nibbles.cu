#include "kernels/cuda/attend_kernel.cuh"

// Decode attention over codes of 2 and 4 bits that read as q x + y.

namespace kvg::kernels {

template void launch_attend<FormClass::kInt4, FormClass::kInt4>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);
template void launch_attend<FormClass::kInt2, FormClass::kInt2>(const Target&,
                                                                const AttendKernelArgs&,
                                                                AttendKind);

}  // namespace kvg::kernels
