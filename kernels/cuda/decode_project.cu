#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/gemv_elements.cuh"

namespace kvg::kernels {
namespace {

// Features of an MLP or logits. A gated feature is one unit, so that its gate and its other half
// meet in registers.
template <typename T, bool Gated>
struct FeatureEpilogue {
  static constexpr int kWidth = Gated ? 2 : 1;

  void* out;
  const float* bias;
  int features;
  Activation activation;
  bool wide;  // f32 instead of T

  __device__ int row(int unit, int which) const { return unit + which * features; }

  __device__ void finish(int unit, int input_row, const float (&sums)[kWidth]) const {
    float value = sums[0] + (bias != nullptr ? bias[unit] : 0.0F);
    value = activate(activation, value);
    if constexpr (Gated) {
      value *= sums[1] + (bias != nullptr ? bias[unit + features] : 0.0F);
    }
    const std::size_t at = static_cast<std::size_t>(input_row) * features + unit;
    if (wide) {
      static_cast<float*>(out)[at] = value;
    } else {
      static_cast<T*>(out)[at] = from_float<T>(value);
    }
  }
};

struct ResidualEpilogue {
  static constexpr int kWidth = 1;

  float* inout;
  const float* bias;
  int out;

  __device__ int row(int unit, int) const { return unit; }

  __device__ void finish(int unit, int input_row, const float (&sums)[1]) const {
    const float value = sums[0] + (bias != nullptr ? bias[unit] : 0.0F);
    inout[static_cast<std::size_t>(input_row) * out + unit] += value;
  }
};

template <typename T, bool Gated>
void project_features(const Target& target, const ProjectArgs& args) {
  const int features = args.linear.out / (Gated ? 2 : 1);
  launch_gemv<T>(target,
                 {.weight = args.linear.weight,
                  .in = args.in,
                  .norm = args.norm,
                  .rows = args.rows,
                  .length = args.linear.in,
                  .units = features},
                 FeatureEpilogue<T, Gated>{.out = args.out,
                                           .bias = args.linear.bias,
                                           .features = features,
                                           .activation = args.activation,
                                           .wide = args.out_dtype == DType::kF32});
}

}  // namespace

bool fits_decode(const Target& target, DType compute, int rows, int in) {
  if (rows > kMaxDecodeRows) {
    return false;
  }
  if (compute != DType::kF32) {
    return plan_tiles(target, rows, in).blocks > 0;
  }
  // What a kernel declares besides: the statistics of the rows.
  constexpr std::size_t kDeclaredBytes = kMaxDecodeRows * kGemvWarps * sizeof(Moments);
  const std::size_t bytes =
      static_cast<std::size_t>(rows) * static_cast<std::size_t>(gemv_stride(in)) * sizeof(float);
  return bytes + kDeclaredBytes <= static_cast<std::size_t>(target.shared_bytes);
}

void decode_project(const Target& target, DType compute, const ProjectArgs& args) {
  dispatch_element(compute, [&](auto element) {
    using T = decltype(element);
    if (is_gated(args.activation)) {
      project_features<T, true>(target, args);
    } else {
      project_features<T, false>(target, args);
    }
  });
}

void decode_add_project(const Target& target, DType compute, const AddProjectArgs& args) {
  dispatch_element(compute, [&](auto element) {
    launch_gemv<decltype(element)>(
        target,
        {.weight = args.linear.weight,
         .in = args.in,
         .norm = {},
         .rows = args.rows,
         .length = args.linear.in,
         .units = args.linear.out},
        ResidualEpilogue{.inout = args.inout, .bias = args.linear.bias, .out = args.linear.out});
  });
}

}  // namespace kvg::kernels
