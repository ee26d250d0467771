#pragma once

#include <cstddef>
#include <memory>

#include <cuda_runtime_api.h>

#include "kernels/core/dtype.h"

namespace kvg::kernels {

/// Workspace that the library's fastest kernels ask for on Hopper.
inline constexpr std::size_t kGemmWorkspaceBytes = std::size_t{32} << 20;

/// out [rows, out_features] = in [rows, in_features] weight^T, plus what was in `out` when
/// `accumulates`.
struct GemmArgs {
  void* out = nullptr;
  DType out_dtype = DType::kF32;
  const void* in = nullptr;      ///< `dtype`
  const void* weight = nullptr;  ///< [out_features, in_features], `dtype`
  DType dtype = DType::kF32;
  int rows = 0;
  int out_features = 0;
  int in_features = 0;
  bool accumulates = false;
};

/// cuBLASLt with everything that a shape needs kept after its first use. Sums in f32; f32 inputs
/// are multiplied in full precision.
class Gemm {
 public:
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// `workspace` has kGemmWorkspaceBytes.
  void multiply(cudaStream_t stream, const GemmArgs& args, void* workspace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kvg::kernels
