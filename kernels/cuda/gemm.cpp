#include "kernels/cuda/gemm.cuh"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include <cublasLt.h>

#include "kernels/core/error.h"

namespace kvg::kernels {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw CudaError(std::string(cublasLtGetStatusString(status)) + " from " + call);
  }
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kF32:
      break;
  }
  return CUDA_R_32F;
}

// The largest alignment that matters to a kernel and that this matrix has at every row.
std::uint32_t alignment_of(const void* data, int row_elements, DType dtype) {
  const std::uint64_t bits = reinterpret_cast<std::uintptr_t>(data) |
                             (static_cast<std::uint64_t>(row_elements) * size_of(dtype)) | 256U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

struct Deleter {
  void operator()(cublasLtMatmulDescOpaque_t* desc) const { cublasLtMatmulDescDestroy(desc); }
  void operator()(cublasLtMatrixLayoutOpaque_t* layout) const {
    cublasLtMatrixLayoutDestroy(layout);
  }
  void operator()(cublasLtMatmulPreferenceOpaque_t* preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Deleter>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Deleter>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Deleter>;

// The library thinks in columns: a row-major [rows, width] is its [width, rows].
Layout make_layout(DType dtype, int width, int rows) {
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublasLtMatrixLayoutCreate(&raw,
                                   data_type(dtype),
                                   static_cast<std::uint64_t>(width),
                                   static_cast<std::uint64_t>(rows),
                                   width),
        "cublasLtMatrixLayoutCreate");
  return Layout(raw);
}

Description make_description() {
  cublasLtMatmulDesc_t raw = nullptr;
  check(cublasLtMatmulDescCreate(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Description description(raw);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(
            raw, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
        "cublasLtMatmulDescSetAttribute");
  return description;
}

struct Alignments {
  std::uint32_t weight = 1;
  std::uint32_t in = 1;
  std::uint32_t out = 1;
};

Preference make_preference(const Alignments& alignments) {
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
  Preference preference(raw);
  const auto set = [raw](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kGemmWorkspaceBytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments.weight);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments.in);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments.out);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments.out);
  return preference;
}

using Key = std::tuple<int, int, int, DType, DType, std::uint32_t, std::uint32_t, std::uint32_t>;

struct Plan {
  Description description;
  Layout weight;
  Layout in;
  Layout out;
  cublasLtMatmulAlgo_t algorithm{};
};

}  // namespace

struct Gemm::State {
  State() { check(cublasLtCreate(&handle), "cublasLtCreate"); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { cublasLtDestroy(handle); }

  const Plan& plan(const GemmArgs& args) {
    const Alignments alignments = {
        .weight = alignment_of(args.weight, args.in_features, args.dtype),
        .in = alignment_of(args.in, args.in_features, args.dtype),
        .out = alignment_of(args.out, args.out_features, args.out_dtype)};
    const Key key = {args.rows,
                     args.out_features,
                     args.in_features,
                     args.dtype,
                     args.out_dtype,
                     alignments.weight,
                     alignments.in,
                     alignments.out};
    const auto found = plans.find(key);
    return found != plans.end() ? found->second
                                : plans.emplace(key, make_plan(args, alignments)).first->second;
  }

  [[nodiscard]] Plan make_plan(const GemmArgs& args, const Alignments& alignments) const {
    Plan plan{.description = make_description(),
              .weight = make_layout(args.dtype, args.in_features, args.out_features),
              .in = make_layout(args.dtype, args.in_features, args.rows),
              .out = make_layout(args.out_dtype, args.out_features, args.rows)};
    const Preference preference = make_preference(alignments);
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle,
                                         plan.description.get(),
                                         plan.weight.get(),
                                         plan.in.get(),
                                         plan.out.get(),
                                         plan.out.get(),
                                         preference.get(),
                                         1,
                                         &result,
                                         &count),
          "cublasLtMatmulAlgoGetHeuristic");
    if (count == 0) {
      throw CudaError("cuBLASLt has no kernel for a product of " + std::to_string(args.rows) +
                      " rows, " + std::to_string(args.in_features) + " to " +
                      std::to_string(args.out_features) + " features, in " +
                      std::string(name_of(args.dtype)));
    }
    plan.algorithm = result.algo;
    return plan;
  }

  cublasLtHandle_t handle = nullptr;
  std::map<Key, Plan> plans;
};

Gemm::Gemm() = default;
Gemm::~Gemm() = default;

void Gemm::multiply(cudaStream_t stream, const GemmArgs& args, void* workspace) {
  // The library takes memory of its own: only a run that multiplies many rows pays for it.
  if (!state_) {
    state_ = std::make_unique<State>();
  }
  const Plan& plan = state_->plan(args);
  const float one = 1.0F;
  const float kept = args.accumulates ? 1.0F : 0.0F;
  check(cublasLtMatmul(state_->handle,
                       plan.description.get(),
                       &one,
                       args.weight,
                       plan.weight.get(),
                       args.in,
                       plan.in.get(),
                       &kept,
                       args.out,
                       plan.out.get(),
                       args.out,
                       plan.out.get(),
                       &plan.algorithm,
                       workspace,
                       kGemmWorkspaceBytes,
                       stream),
        "cublasLtMatmul");
}

}  // namespace kvg::kernels
