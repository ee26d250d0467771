#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/place.cuh"

// A projection of a few rows: which weight rows make a unit, and what becomes of their sums.

namespace kvg::kernels {

/// What a result needs beside its sums, asked for before they are there: what lies in global memory
/// takes as long as several tiles.
struct Prospect {
  float bias[2] = {};
  float2 angle = {1.0F, 0.0F};       ///< of QKV
  float2 sink_angle = {1.0F, 0.0F};  ///< likewise, of the query that looks at sinks
  void* to = nullptr;
  float before = 0.0F;      ///< of a residual that is posted
  void* sink_to = nullptr;  ///< null: not wanted
  int apart = 0;            ///< elements from the first result to the second, of QKV
};

/// A projection of any kind: the product, and what becomes of it.
template <typename T>
struct Projection {
  enum class Kind : std::uint8_t {
    kFeatures,  ///< of an MLP, or logits: activation(sum), of T or f32
    kGated,     ///< a feature is one unit, so that its gate and its other half meet in registers
    kResidual,  ///< added to f32
    kQkv        ///< the two channels that RoPE turns together are one unit, and so are neighbours
                ///< among the others
  };

  GemvArgs gemv;
  Kind kind = Kind::kFeatures;
  Activation activation = Activation::kNone;
  bool wide = false;  ///< features of f32 instead of T
  const float* bias = nullptr;
  void* out = nullptr;  ///< [rows, units], but of QKV
  QkvPlaces<T> places;

  Projection() = default;
  explicit Projection(const ProjectArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = args.norm,
              .rows = args.rows,
              .length = args.linear.in,
              .units = args.linear.out / (is_gated(args.activation) ? 2 : 1)}),
        kind(is_gated(args.activation) ? Kind::kGated : Kind::kFeatures),
        activation(args.activation),
        wide(args.out_dtype == DType::kF32),
        bias(args.linear.bias),
        out(args.out) {}
  explicit Projection(const AddProjectArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = {},
              .rows = args.rows,
              .length = args.linear.in,
              .units = args.linear.out,
              .stride = 0,
              .last_take_more = true}),
        kind(Kind::kResidual),
        bias(args.linear.bias),
        out(args.inout) {}
  explicit Projection(const QkvArgs& args)
      : gemv({.weight = args.linear.weight,
              .in = args.in,
              .norm = args.norm,
              .rows = args.batch * args.tokens,
              .length = args.linear.in,
              .units = args.linear.out / 2}),
        kind(Kind::kQkv),
        bias(args.linear.bias),
        places(make_places<T>(args)) {}

  /// True when a unit is two weight rows.
  __host__ __device__ bool is_paired() const { return kind == Kind::kGated || kind == Kind::kQkv; }

  /// The index of a unit's weight row `which`.
  __device__ int row(int unit, int which) const {
    if (kind != Kind::kQkv) {
      return unit + which * gemv.units;
    }
    const Channels at = channels(unit);
    return at.head * places.shape.head_dim + at.first + which * at.apart;
  }

  /// `posts`: whether finish() is to post the result.
  __device__ Prospect foresee(int unit, int input_row, bool posts = false) const {
    Prospect of;
    if (bias != nullptr) {
      of.bias[0] = bias[row(unit, 0)];
      of.bias[1] = is_paired() ? bias[row(unit, 1)] : 0.0F;
    }
    if (kind == Kind::kQkv) {
      foresee_places(unit, input_row, of);
      return of;
    }
    const std::size_t at = static_cast<std::size_t>(input_row) * gemv.units + unit;
    const std::size_t size = wide || kind == Kind::kResidual ? sizeof(float) : sizeof(T);
    of.to = static_cast<std::byte*>(out) + at * size;
    if (posts && kind == Kind::kResidual) {
      of.before = read_own(static_cast<const float*>(of.to));
    }
    return of;
  }

  /// `posts`: as `out`, where the result is left for other blocks of this kernel too; null:
  /// nowhere.
  __device__ void finish(const Prospect& of,
                         float first,
                         float second,
                         std::byte* posts = nullptr) const {
    first += of.bias[0];
    second += of.bias[1];
    if (kind == Kind::kResidual) {
      // Nobody else adds to this element now.
      auto* to = static_cast<float*>(of.to);
      if (posts == nullptr) {
        atomicAdd(to, first);  // unlike a load, this is not waited for
      } else {
        post(reinterpret_cast<float*>(posts + offset_of(of)), of.before + first);
        *to = of.before + first;
      }
      return;
    }
    if (kind == Kind::kQkv) {
      put_pair(static_cast<T*>(of.to), of.apart, turned_by(of.angle, {first, second}));
      if (of.sink_to != nullptr) {
        put_pair(static_cast<T*>(of.sink_to), of.apart, turned_by(of.sink_angle, {first, second}));
      }
      return;
    }
    first = activate(activation, first);
    if (kind == Kind::kGated) {
      first *= second;
    }
    if (wide) {
      *static_cast<float*>(of.to) = first;
      return;
    }
    const T result = from_float<T>(first);
    if (posts != nullptr) {
      post(reinterpret_cast<T*>(posts + offset_of(of)), result);
    }
    *static_cast<T*>(of.to) = result;
  }

 private:
  [[nodiscard]] __device__ std::ptrdiff_t offset_of(const Prospect& of) const {
    return static_cast<const std::byte*>(of.to) - static_cast<const std::byte*>(out);
  }

  struct Channels {
    int head;
    int first;
    int apart;
  };

  __device__ Channels channels(int unit) const {
    const int pairs = places.shape.head_dim / 2;
    const int turned = places.rope.rotary_dim / 2;
    const int head = unit / pairs;
    const int pair = unit - head * pairs;
    return pair < turned ? Channels{head, pair, turned} : Channels{head, 2 * pair, 1};
  }

  __device__ void foresee_places(int unit, int input_row, Prospect& of) const {
    const Channels at = channels(unit);
    const RowPlace place = places.row_place(input_row);
    of.apart = at.apart;
    of.to = places.head(place, input_row, at.head) + at.first;
    if (at.head < places.shape.heads + places.shape.kv_heads) {
      of.angle = places.angle(place.position, at.first);
    }
    if (at.head < places.shape.heads && places.sink_query != nullptr) {
      of.sink_to = places.query_head(places.sink_query, input_row, at.head) + at.first;
      of.sink_angle = places.angle(place.sink_position, at.first);
    }
  }

  __device__ static void put_pair(T* to, int apart, const float2& pair) {
    to[0] = from_float<T>(pair.x);
    to[apart] = from_float<T>(pair.y);
  }
};

}  // namespace kvg::kernels
