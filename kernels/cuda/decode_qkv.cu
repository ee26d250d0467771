#include "kernels/cuda/gemv_elements.cuh"
#include "kernels/cuda/place.cuh"

namespace kvg::kernels {
namespace {

// The two channels that RoPE turns together are one unit, and so are neighbours among the others.
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

}  // namespace

void decode_qkv(const Target& target, DType compute, const QkvArgs& args) {
  dispatch_element(compute, [&](auto element) {
    using T = decltype(element);
    launch_gemv<T>(target,
                   {.weight = args.linear.weight,
                    .in = args.in,
                    .norm = args.norm,
                    .rows = args.batch * args.tokens,
                    .length = args.linear.in,
                    .units = args.linear.out / 2},
                   QkvEpilogue<T>{.places = make_places<T>(args), .bias = args.linear.bias});
  });
}

}  // namespace kvg::kernels
