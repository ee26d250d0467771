#include "kernels/cuda/attend_kernel.cuh"

// Decode attention beside entries that wait: pruned keys, keys with scales per channel.

namespace kvg::kernels {

template void launch_attend<FormClass::kPrunedF32, FormClass::kF32>(const Target&,
                                                                    const AttendKernelArgs&,
                                                                    AttendKind);
template void launch_attend<FormClass::kPrunedF16, FormClass::kF16>(const Target&,
                                                                    const AttendKernelArgs&,
                                                                    AttendKind);
template void launch_attend<FormClass::kPrunedBF16, FormClass::kBF16>(const Target&,
                                                                      const AttendKernelArgs&,
                                                                      AttendKind);
template void launch_attend<FormClass::kChannelInt4, FormClass::kInt4>(const Target&,
                                                                       const AttendKernelArgs&,
                                                                       AttendKind);
template void launch_attend<FormClass::kChannelInt2, FormClass::kInt2>(const Target&,
                                                                       const AttendKernelArgs&,
                                                                       AttendKind);

}  // namespace kvg::kernels
