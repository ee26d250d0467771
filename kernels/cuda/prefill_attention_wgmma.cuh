#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/launch.cuh"

/// Attention of a prompt on the warpgroup matrix units of Hopper, which run code for 90a alone.
namespace kvg::kernels::wgmma {

/// Wider heads leave no registers.
inline constexpr int kWidestHead = 128;

/// True where this program holds such code for devices of this compute capability.
[[nodiscard]] bool is_built_for(int major, int minor);

/// True where the device and the arguments, of f16 or bf16, suit prefill_attend().
[[nodiscard]] bool fits(const Target& target, const PrefillAttendArgs& args);

void prefill_attend(const Target& target, const PrefillAttendArgs& args);

}  // namespace kvg::kernels::wgmma
