#include "kernels/cpu/scoring_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector.h"

namespace kvg::kernels::cpu {
namespace {

// Calls work(first, count) for pieces of a vector each; all but the last are whole.
template <typename Work>
KVG_INLINE void in_pieces(std::size_t count, const Work& work) {
  std::size_t i = 0;
  for (; i + kDoubleLanes <= count; i += kDoubleLanes) {
    work(i, kDoubleLanes);
  }
  if (i < count) {
    work(i, count - i);
  }
}

// What lies beyond a row's end counts as e^-infinity.
KVG_INLINE Doubles without_end(const Doubles& lanes, std::size_t count) {
  Doubles kept = lanes;
  for (std::size_t lane = count; lane < kDoubleLanes; ++lane) {
    kept[lane] = 0.0;
  }
  return kept;
}

template <typename T>
KVG_INLINE double exponentials_of(
    double* out, const T* in, double scale, double max, std::size_t count) {
  Doubles sum = {};
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        const Doubles e = without_end(exp_of((load_doubles(in + i, lanes) - max) * scale), lanes);
        store_lanes(out + i, e, lanes);
        sum += e;
      });
  return sum_of(sum);
}

template <typename T>
KVG_INLINE void add_scaled_of(double* out, const T* in, double factor, std::size_t count) {
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        store_lanes(
            out + i, load_doubles(out + i, lanes) + load_doubles(in + i, lanes) * factor, lanes);
      });
}

template <typename A>
KVG_INLINE double dot_of(const A* a, const float* b, std::size_t count) {
  Doubles sum = {};
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        sum += load_doubles(a + i, lanes) * load_doubles(b + i, lanes);
      });
  return sum_of(sum);
}

void divide(double* values, double by, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    values[i] /= by;
  }
}

}  // namespace

KVG_CLONES float largest_of(const float* values, std::size_t count) {
  if (count < kLanes) {
    return *std::max_element(values, values + count);
  }
  Floats best = load_lanes<Floats>(values);
  for (std::size_t i = kLanes; i + kLanes <= count; i += kLanes) {
    best = larger(load_lanes<Floats>(values + i), best);
  }
  // The last lanes again, whole.
  return largest_of(larger(load_lanes<Floats>(values + count - kLanes), best));
}

KVG_CLONES double exponentials(
    double* out, const float* in, double scale, float max, std::size_t count) {
  return exponentials_of(out, in, scale, static_cast<double>(max), count);
}

KVG_CLONES double exponentials(double* out, const double* in, double max, std::size_t count) {
  return exponentials_of(out, in, 1.0, max, count);
}

void softmax(double* out, const float* in, double scale, std::size_t count) {
  divide(out, exponentials(out, in, scale, largest_of(in, count), count), count);
}

void softmax(double* out, const double* in, std::size_t count) {
  divide(out, exponentials(out, in, *std::max_element(in, in + count), count), count);
}

KVG_CLONES void add_scaled(double* out, const double* in, double factor, std::size_t count) {
  add_scaled_of(out, in, factor, count);
}

KVG_CLONES void add_scaled(double* out, const float* in, double factor, std::size_t count) {
  add_scaled_of(out, in, factor, count);
}

KVG_CLONES void raise_to(double* out, const double* in, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = in[i] > out[i] ? in[i] : out[i];
  }
}

KVG_CLONES double dot(const double* a, const float* b, std::size_t count) {
  return dot_of(a, b, count);
}

KVG_CLONES double norm_of(const float* values, std::size_t count) {
  return std::sqrt(dot_of(values, values, count));
}

KVG_CLONES double absolute_sum(const float* values, std::size_t count) {
  Doubles sum = {};
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        const Doubles x = load_doubles(values + i, lanes);
        sum += x < 0.0 ? -x : x;
      });
  return sum_of(sum);
}

KVG_CLONES double upper_bound(const float* a,
                              const float* low,
                              const float* high,
                              std::size_t count) {
  Doubles sum = {};
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        const Doubles x = load_doubles(a + i, lanes);
        const Doubles with_low = x * load_doubles(low + i, lanes);
        const Doubles with_high = x * load_doubles(high + i, lanes);
        sum += with_low < with_high ? with_high : with_low;
      });
  return sum_of(sum);
}

}  // namespace kvg::kernels::cpu
