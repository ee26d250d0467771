#include "kernels/cuda/projection_rows.cuh"

#include <algorithm>

#include "kernels/cuda/ops.cuh"

namespace kvg::kernels {

const void* ProjectionRows::normed(const float* in, const Norm& norm, int rows, int dim) const {
  void* out =
      reserved(workspace_,
               &WorkspacePlan::normed,
               static_cast<std::size_t>(rows) * static_cast<std::size_t>(dim) * size_of(compute_));
  normalize(target_, compute_, {.out = out, .in = in, .norm = norm, .rows = rows, .dim = dim});
  return out;
}

void ProjectionRows::multiply(GemmArgs args, const Linear& linear) {
  args.weight = linear.weight;
  args.dtype = compute_;
  args.out_features = linear.out;
  args.in_features = linear.in;
  gemm_.multiply(
      target_.stream, args, reserved(workspace_, &WorkspacePlan::gemm, kGemmWorkspaceBytes));
}

void ProjectionRows::multiply_qkv(const QkvArgs& args, void* out) {
  const int rows = args.batch * args.tokens;
  multiply({.out = out,
            .out_dtype = compute_,
            .in = normed(args.in, args.norm, rows, args.linear.in),
            .rows = rows},
           args.linear);
}

void ProjectionRows::project(const ProjectArgs& args) {
  const void* in = normed(args.in, args.norm, args.rows, args.linear.in);
  if (is_gated(args.activation)) {
    project_gated(args, in);
    return;
  }
  multiply({.out = args.out, .out_dtype = args.out_dtype, .in = in, .rows = args.rows},
           args.linear);
  if (args.linear.bias != nullptr || args.activation != Activation::kNone) {
    finish_product(target_,
                   {.out = args.out,
                    .out_dtype = args.out_dtype,
                    .in = args.out,
                    .in_dtype = args.out_dtype,
                    .bias = args.linear.bias,
                    .activation = args.activation,
                    .rows = args.rows,
                    .width = args.linear.out});
  }
}

// The sums are twice as wide as what becomes of them, so those of few rows are held at once.
void ProjectionRows::project_gated(const ProjectArgs& args, const void* in) {
  const std::size_t in_row = static_cast<std::size_t>(args.linear.in) * size_of(compute_);
  const std::size_t out_row =
      static_cast<std::size_t>(args.linear.out / 2) * size_of(args.out_dtype);
  const std::size_t sum_row = static_cast<std::size_t>(args.linear.out) * size_of(compute_);
  const auto* from = static_cast<const std::byte*>(in);
  auto* out = static_cast<std::byte*>(args.out);
  for (int left = args.rows; left > 0; left -= kProductRows) {
    const int rows = std::min(kProductRows, left);
    void* sums =
        reserved(workspace_, &WorkspacePlan::product, sum_row * static_cast<std::size_t>(rows));
    multiply({.out = sums, .out_dtype = compute_, .in = from, .rows = rows}, args.linear);
    finish_product(target_,
                   {.out = out,
                    .out_dtype = args.out_dtype,
                    .in = sums,
                    .in_dtype = compute_,
                    .bias = args.linear.bias,
                    .activation = args.activation,
                    .rows = rows,
                    .width = args.linear.out});
    from += in_row * static_cast<std::size_t>(rows);
    out += out_row * static_cast<std::size_t>(rows);
  }
}

void ProjectionRows::add_project(const AddProjectArgs& args) {
  multiply({.out = args.inout,
            .out_dtype = DType::kF32,
            .in = args.in,
            .rows = args.rows,
            .accumulates = true},
           args.linear);
  if (args.linear.bias != nullptr) {
    finish_product(target_,
                   {.out = args.inout,
                    .out_dtype = DType::kF32,
                    .in = args.inout,
                    .in_dtype = DType::kF32,
                    .bias = args.linear.bias,
                    .activation = Activation::kNone,
                    .rows = args.rows,
                    .width = args.linear.out});
  }
}

}  // namespace kvg::kernels
