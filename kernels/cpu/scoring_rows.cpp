#include "kernels/cpu/scoring_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector.h"

namespace kvg::kernels::cpu {
namespace {

typedef double Doubles __attribute__((vector_size(64)));
typedef std::uint64_t WideBits __attribute__((vector_size(64)));
typedef float HalfFloats __attribute__((vector_size(32)));

constexpr std::size_t kDoubleLanes = 8;

KVG_INLINE Doubles load(const double* in, std::size_t count) {
  return load_lanes<Doubles>(in, count == kDoubleLanes ? kLanes : count);
}

KVG_INLINE Doubles load(const float* in, std::size_t count) {
  HalfFloats lanes = {};
  std::memcpy(&lanes, in, count == kDoubleLanes ? sizeof(lanes) : count * sizeof(float));
  return __builtin_convertvector(lanes, Doubles);
}

KVG_INLINE void store(double* out, const Doubles& lanes, std::size_t count) {
  std::memcpy(out, &lanes, count == kDoubleLanes ? sizeof(lanes) : count * sizeof(double));
}

KVG_INLINE double sum_of(const Doubles& a) {
  return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

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

// e^x for x <= 0; below -708 it is 0. The series to x^13 on [-ln 2 / 2, ln 2 / 2] leaves 4e-18.
KVG_INLINE Doubles exp_of(const Doubles& x) {
  const auto low = (WideBits)(x < -708.0);  // NOLINT: the notation of vector types
  const Doubles kept = low ? Doubles{} : x;
  // Adding 1.5 x 2^52 leaves the nearest integer in the low bits.
  const Doubles shifted = kept * 1.4426950408889634 + 6755399441055744.0;
  const Doubles n = shifted - 6755399441055744.0;
  const Doubles r = (kept - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  Doubles p = Doubles{} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const WideBits scaled = (WideBits)p + ((WideBits)shifted << 52);  // NOLINT: likewise
  return low ? Doubles{} : (Doubles)scaled;                         // NOLINT: likewise
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
        const Doubles e = without_end(exp_of((load(in + i, lanes) - max) * scale), lanes);
        store(out + i, e, lanes);
        sum += e;
      });
  return sum_of(sum);
}

template <typename T>
KVG_INLINE void add_scaled_of(double* out, const T* in, double factor, std::size_t count) {
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        store(out + i, load(out + i, lanes) + load(in + i, lanes) * factor, lanes);
      });
}

template <typename A>
KVG_INLINE double dot_of(const A* a, const float* b, std::size_t count) {
  Doubles sum = {};
  in_pieces(
      count, [&](std::size_t i, std::size_t lanes) __attribute__((always_inline)) {
        sum += load(a + i, lanes) * load(b + i, lanes);
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
        const Doubles x = load(values + i, lanes);
        const auto negative = (WideBits)(x < 0.0);  // NOLINT: the notation of vector types
        sum += negative ? -x : x;
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
        const Doubles x = load(a + i, lanes);
        const Doubles with_low = x * load(low + i, lanes);
        const Doubles with_high = x * load(high + i, lanes);
        const auto is_lower =
            (WideBits)(with_low < with_high);  // NOLINT: the notation of vector types
        sum += is_lower ? with_high : with_low;
      });
  return sum_of(sum);
}

}  // namespace kvg::kernels::cpu
