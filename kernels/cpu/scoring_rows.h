#pragma once

#include <cstddef>

namespace kvg::kernels::cpu {

// Loops over rows of double figures, vectorised.

/// The largest of `count` values, at least one.
[[nodiscard]] float largest_of(const float* values, std::size_t count);

/// out[i] = e^(scale * (in[i] - max)) and returns their sum; each to about one unit in the last
/// place.
double exponentials(double* out, const float* in, double scale, float max, std::size_t count);

/// Likewise e^(in[i] - max); `in` may be `out`.
double exponentials(double* out, const double* in, double max, std::size_t count);

/// out = softmax(scale x in) for scale > 0, `count` at least 1.
void softmax(double* out, const float* in, double scale, std::size_t count);
/// The same of doubles; `in` may be `out`.
void softmax(double* out, const double* in, std::size_t count);

/// out[i] += in[i] * factor.
void add_scaled(double* out, const double* in, double factor, std::size_t count);
void add_scaled(double* out, const float* in, double factor, std::size_t count);
/// out[i] = the larger of out[i] and in[i].
void raise_to(double* out, const double* in, std::size_t count);

[[nodiscard]] double dot(const double* a, const float* b, std::size_t count);
/// The Euclidean norm.
[[nodiscard]] double norm_of(const float* values, std::size_t count);
/// Sum of |values|.
[[nodiscard]] double absolute_sum(const float* values, std::size_t count);
/// Sum of max(a[i] low[i], a[i] high[i]).
[[nodiscard]] double upper_bound(const float* a,
                                 const float* low,
                                 const float* high,
                                 std::size_t count);

}  // namespace kvg::kernels::cpu
