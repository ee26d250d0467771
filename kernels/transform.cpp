#include "kernels/transform.h"

#include <cmath>

#include "kernels/core/error.h"
#include "kernels/hash.h"

namespace kvg::kernels {
namespace {

constexpr int kSpan = 64;

// H of `count` elements, `stride` apart.
void butterflies(float* x, int count, int stride) {
  for (int step = 1; step < count; step *= 2) {
    for (int block = 0; block < count; block += 2 * step) {
      for (int i = block; i < block + step; ++i) {
        const float a = x[i * stride];
        const float b = x[(i + step) * stride];
        x[i * stride] = a + b;
        x[(i + step) * stride] = a - b;
      }
    }
  }
}

void multiply(float* x, int count, float factor) {
  for (int i = 0; i < count; ++i) {
    x[i] *= factor;
  }
}

void change_signs(float* x, int count) {
  for (int i = 0; i < count; ++i) {
    x[i] *= random_sign(i);
  }
}

void orthonormal(float* x, int head_dim) {
  KVG_EXPECT(head_dim > 0 && (head_dim & (head_dim - 1)) == 0,
             "a Hadamard transform takes a power of two channels, not " + std::to_string(head_dim));
  butterflies(x, head_dim, 1);
  multiply(x, head_dim, static_cast<float>(1.0 / std::sqrt(head_dim)));
}

void even_odd(float* x, int head_dim) {
  KVG_EXPECT(head_dim % kSpan == 0,
             "the even-odd transform takes spans of 64 channels, not " + std::to_string(head_dim));
  for (int span = 0; span < head_dim; span += kSpan) {
    butterflies(x + span, kSpan / 2, 2);
    butterflies(x + span + 1, kSpan / 2, 2);
  }
}

}  // namespace

void turn_entry(Transform transform, float* x, int head_dim) {
  switch (transform) {
    case Transform::kNone:
      break;
    case Transform::kSignedHadamard:
      change_signs(x, head_dim);
      orthonormal(x, head_dim);
      break;
    case Transform::kHadamard:
      orthonormal(x, head_dim);
      break;
    case Transform::kEvenOdd:
      even_odd(x, head_dim);
      break;
  }
}

void turn_query(Transform transform, float* x, int head_dim) {
  turn_entry(transform, x, head_dim);
  if (transform == Transform::kEvenOdd) {
    multiply(x, head_dim, 2.0F / kSpan);
  }
}

void turn_back(Transform transform, float* x, int head_dim) {
  if (transform != Transform::kSignedHadamard) {
    turn_query(transform, x, head_dim);  // each is its own inverse
    return;
  }
  orthonormal(x, head_dim);
  change_signs(x, head_dim);
}

}  // namespace kvg::kernels
