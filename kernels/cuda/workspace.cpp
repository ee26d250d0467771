#include "kernels/cuda/workspace.cuh"

#include <algorithm>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/scoring.cuh"

namespace kvg::kernels {
namespace {

constexpr std::size_t kAlignment = 256;

WorkspacePart take(std::size_t& end, std::size_t bytes) {
  const WorkspacePart part = {.offset = end, .bytes = bytes};
  end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return part;
}

// Features of q, k and v together.
std::size_t qkv_features(const HeadShape& shape) {
  return static_cast<std::size_t>(shape.heads + 2 * shape.kv_heads) *
         static_cast<std::size_t>(shape.head_dim);
}

// What the projections of a chain leave for each other: residuals and features of a layer, and of
// the next one as far as it is added before attention divides the chain.
std::size_t post_bytes(const Target& target, DType compute, const WorkspaceShape& shape) {
  if (!target.overlaps || compute == DType::kF32) {
    return 0;
  }
  const std::size_t row = 2 * (sizeof(float) * static_cast<std::size_t>(shape.hidden) +
                               size_of(compute) * static_cast<std::size_t>(shape.features));
  return static_cast<std::size_t>(std::min(shape.batch, kMaxDecodeRows)) * row;
}

}  // namespace

WorkspacePlan lay_out_workspace(const Target& target, DType compute, const WorkspaceShape& shape) {
  const int rows = std::max(shape.rows, shape.batch);
  // The longest input of a projection is no wider than the widest output.
  const bool multiplies =
      !fits_decode(target, compute, rows, std::max(shape.hidden, shape.features));
  const std::size_t element = size_of(compute);
  const std::size_t row_elements = static_cast<std::size_t>(rows) * element;
  const std::size_t gated_bytes = static_cast<std::size_t>(std::min(rows, kProductRows)) *
                                  static_cast<std::size_t>(shape.features) * element;
  const bool attends = shape.entries > 0 && shape.heads.heads > 0;
  WorkspacePlan plan;
  plan.normed =
      take(plan.total, multiplies ? row_elements * static_cast<std::size_t>(shape.hidden) : 0);
  plan.product = take(plan.total, std::max(row_elements * qkv_features(shape.heads), gated_bytes));
  plan.partials =
      take(plan.total, attends ? attend_partial_bytes(shape.heads, shape.batch, shape.entries) : 0);
  plan.chain = take(plan.total, kChainCounts * sizeof(unsigned));
  plan.posts = take(plan.total, 2 * ((post_bytes(target, compute, shape) + 15) / 16 * 16));
  plan.gemm = take(plan.total, multiplies ? kGemmWorkspaceBytes : 0);
  plan.scoring = take(plan.total, scoring_scratch_bytes(target, shape));
  return plan;
}

CudaWorkspace::CudaWorkspace(Pool& pool,
                             const WorkspacePlan& plan,
                             const WorkspaceShape& shape,
                             CudaWorkspace*& in_use)
    : plan_(plan),
      shape_(shape),
      buffer_(pool.allocate(plan.total, MemoryClass::kWorkspace)),
      in_use_(in_use) {
  in_use_ = this;
}

void CudaWorkspace::prepare(cudaStream_t stream) const {
  KVG_CUDA_CHECK(cudaMemsetAsync(at(plan_.chain), 0, plan_.chain.bytes, stream));
  KVG_CUDA_CHECK(cudaMemsetAsync(at(plan_.posts), 0xFF, plan_.posts.bytes, stream));
}

CudaWorkspace::~CudaWorkspace() {
  if (in_use_ == this) {
    in_use_ = nullptr;
  }
}

}  // namespace kvg::kernels
