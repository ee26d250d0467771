#pragma once

#include <cstddef>

#include "kernels/backend.h"
#include "kernels/core/error.h"
#include "kernels/core/memory.h"
#include "kernels/cuda/launch.cuh"

namespace kvg::kernels {

/// Rows of a gated projection whose products are held at once: enough for full waves of tiles, few
/// enough for what is multiplied to be read again from the cache.
inline constexpr int kProductRows = 1024;

/// A stretch of the scratch memory.
struct WorkspacePart {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

/// The scratch memory of all operations: one allocation, parts at multiples of 256 bytes.
struct WorkspacePlan {
  WorkspacePart normed;  ///< [rows, hidden] of the compute dtype, for products of many rows
  /// Of the compute dtype: [rows, features of QKV], or [up to kProductRows, features].
  WorkspacePart product;
  WorkspacePart partials;  ///< of decode attention
  WorkspacePart chain;     ///< counts of ProjectionChain, zero at first
  WorkspacePart posts;     ///< of ProjectionChain, two sets alike, all ones at first
  WorkspacePart gemm;      ///< of cuBLASLt, for products of many rows
  WorkspacePart scoring;   ///< of selections
  std::size_t total = 0;
};

[[nodiscard]] WorkspacePlan lay_out_workspace(const Target& target,
                                              DType compute,
                                              const WorkspaceShape& shape);

/// A workspace of a CUDA device.
class CudaWorkspace final : public Workspace {
 public:
  /// `in_use` is what operations work in: this workspace, until another is put there. It outlives
  /// the workspace, which leaves it null rather than refer to what is gone.
  CudaWorkspace(Pool& pool,
                const WorkspacePlan& plan,
                const WorkspaceShape& shape,
                CudaWorkspace*& in_use);
  CudaWorkspace(const CudaWorkspace&) = delete;
  CudaWorkspace& operator=(const CudaWorkspace&) = delete;
  ~CudaWorkspace() override;

  /// Enqueues what parts hold at first; once, before the first operation.
  void prepare(cudaStream_t stream) const;

  [[nodiscard]] const WorkspacePlan& plan() const { return plan_; }
  [[nodiscard]] const WorkspaceShape& shape() const { return shape_; }
  [[nodiscard]] void* at(const WorkspacePart& part) const {
    return buffer_.as<std::byte>(part.offset);
  }

 private:
  WorkspacePlan plan_;
  WorkspaceShape shape_;
  Buffer buffer_;
  CudaWorkspace*& in_use_;
};

/// A part of the workspace in use, which has room for `bytes`.
[[nodiscard]] inline void* reserved(const CudaWorkspace* workspace,
                                    WorkspacePart WorkspacePlan::*part,
                                    std::size_t bytes) {
  KVG_EXPECT(workspace != nullptr && bytes <= (workspace->plan().*part).bytes,
             "make_workspace() covers the shapes of every operation");
  return workspace->at(workspace->plan().*part);
}

}  // namespace kvg::kernels
