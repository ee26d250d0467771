#pragma once

#include "kernels/form.h"

// What is done to vectors of head_dim around a cache whose form has a Transform. H is the
// Walsh-Hadamard matrix of +1 and -1 in natural order, H H = n; x (*) y is the product element by
// element.
//
//   kHadamard        T = H / sqrt(n), its own inverse; n = head_dim, a power of two
//   kSignedHadamard  T x = H (signs (*) x) / sqrt(n), T^-1 y = signs (*) (H y / sqrt(n))
//   kEvenOdd         T: in every span of 64, H of the 32 even and H of the 32 odd channels, each
//   back
//                    where its channels were; T^-1 y = T y / 32
//
// Stored is T x. With q' = T q (kEvenOdd: T q / 32), q' . T k = q . k. An output sum w_i T v_i is
// turned back by T^-1.
//
// Every implementation adds and subtracts pairs 1, 2, 4, .. channels apart (kEvenOdd: 2, 4, .. 32),
// in this order, and multiplies by float(1 / sqrt(n)) last, so that all of them store the same
// bits.
namespace kvg::kernels {

/// T, in place, as entries are stored.
void turn_entry(Transform transform, float* x, int head_dim);

/// What makes products with stored keys those with the keys themselves.
void turn_query(Transform transform, float* x, int head_dim);

/// T^-1: of an entry as it is read, or of an output.
void turn_back(Transform transform, float* x, int head_dim);

}  // namespace kvg::kernels
