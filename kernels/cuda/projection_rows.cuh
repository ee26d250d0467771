#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/workspace.cuh"

namespace kvg::kernels {

/// The projections of more rows than ProjectionChain takes: cuBLASLt's products of weights of the
/// compute dtype, and what stands around them. Enqueued at once.
class ProjectionRows {
 public:
  /// `workspace` is the one in use.
  ProjectionRows(const Target& target, DType compute, CudaWorkspace* const& workspace)
      : target_(target), compute_(compute), workspace_(workspace) {}

  void project(const ProjectArgs& args);
  void add_project(const AddProjectArgs& args);
  /// `out` [batch * tokens, linear.out] of the compute dtype = W norm(in), for place_qkv().
  void multiply_qkv(const QkvArgs& args, void* out);

 private:
  [[nodiscard]] const void* normed(const float* in, const Norm& norm, int rows, int dim) const;
  /// `args` but for the weight's dtype, which is the inputs'.
  void multiply(GemmArgs args, const Linear& linear);
  /// Of normed rows `in`.
  void project_gated(const ProjectArgs& args, const void* in);

  const Target& target_;
  DType compute_;
  CudaWorkspace* const& workspace_;
  Gemm gemm_;
};

}  // namespace kvg::kernels
