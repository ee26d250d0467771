#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/place.cuh"

// What becomes of the sums of a projection. An epilogue has kWidth, the weight rows of a unit;
// row(unit, which), their indices; and finish(unit, input row, sums), called once for each.

namespace kvg::kernels {

/// Features of an MLP or logits. A gated feature is one unit, so that its gate and its other half
/// meet in registers.
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
    // Nobody else adds to this element now; unlike a load, this is not waited for.
    atomicAdd(inout + static_cast<std::size_t>(input_row) * out + unit, value);
  }
};

/// The two channels that RoPE turns together are one unit, and so are neighbours among the others.
template <typename T>
struct QkvEpilogue {
  static constexpr int kWidth = 2;

  QkvPlaces<T> places;
  const float* bias;

  struct Channels {
    int head;
    int first;
    int second;
  };

  __device__ Channels channels(int unit) const {
    const int pairs = places.shape.head_dim / 2;
    const int turned = places.rope.rotary_dim / 2;
    const int pair = unit % pairs;
    if (pair < turned) {
      return {unit / pairs, pair, pair + turned};
    }
    return {unit / pairs, 2 * pair, 2 * pair + 1};
  }

  __device__ int row(int unit, int which) const {
    const Channels at = channels(unit);
    return at.head * places.shape.head_dim + (which == 0 ? at.first : at.second);
  }

  __device__ void finish(int unit, int input_row, const float (&sums)[2]) const {
    const Channels at = channels(unit);
    const float first = sums[0] + (bias != nullptr ? bias[row(unit, 0)] : 0.0F);
    const float second = sums[1] + (bias != nullptr ? bias[row(unit, 1)] : 0.0F);
    const RowPlace row_place = places.row_place(input_row);
    if (at.head < places.shape.heads && places.sink_query != nullptr) {
      T* to = places.query_head(places.sink_query, input_row, at.head);
      const float2 turned = places.turn(row_place.sink_position, at.first, {first, second});
      to[at.first] = from_float<T>(turned.x);
      to[at.second] = from_float<T>(turned.y);
    }
    float2 value = {first, second};
    if (at.head < places.shape.heads + places.shape.kv_heads) {
      value = places.turn(row_place.position, at.first, value);
    }
    T* to = places.head(row_place, input_row, at.head);
    to[at.first] = from_float<T>(value.x);
    to[at.second] = from_float<T>(value.y);
  }
};

/// A projection of any kind: the product, and one of the epilogues.
template <typename T>
struct Projection {
  enum class Kind { kFeatures, kGated, kResidual, kQkv };

  GemvArgs gemv;
  Kind kind;
  union {
    FeatureEpilogue<T, false> features;
    FeatureEpilogue<T, true> gated;
    ResidualEpilogue residual;
    QkvEpilogue<T> qkv;
  };

  Projection() : kind(Kind::kFeatures), features{} {}
  explicit Projection(const ProjectArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = args.norm,
              .rows = args.rows,
              .length = args.linear.in,
              .units = args.linear.out / (is_gated(args.activation) ? 2 : 1)}) {
    if (is_gated(args.activation)) {
      kind = Kind::kGated;
      gated = {
          args.out, args.linear.bias, gemv.units, args.activation, args.out_dtype == DType::kF32};
    } else {
      kind = Kind::kFeatures;
      features = {
          args.out, args.linear.bias, gemv.units, args.activation, args.out_dtype == DType::kF32};
    }
  }
  explicit Projection(const AddProjectArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = {},
              .rows = args.rows,
              .length = args.linear.in,
              .units = args.linear.out}),
        kind(Kind::kResidual),
        residual{args.inout, args.linear.bias, args.linear.out} {}
  explicit Projection(const QkvArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = args.norm,
              .rows = args.batch * args.tokens,
              .length = args.linear.in,
              .units = args.linear.out / 2}),
        kind(Kind::kQkv),
        qkv{make_places<T>(args), args.linear.bias} {}

  /// Weight rows of a unit.
  __host__ __device__ int width() const {
    return kind == Kind::kGated || kind == Kind::kQkv ? 2 : 1;
  }

  /// Calls `use` with the epilogue.
  template <typename Use>
  __host__ __device__ void with_epilogue(Use&& use) const {
    switch (kind) {
      case Kind::kFeatures:
        return use(features);
      case Kind::kGated:
        return use(gated);
      case Kind::kResidual:
        return use(residual);
      case Kind::kQkv:
        return use(qkv);
    }
  }
};

}  // namespace kvg::kernels
