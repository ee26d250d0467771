#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "kernels/core/error.h"

namespace kvg::kernels {

/// The head sizes that attention is compiled for.
using HeadDims = std::integer_sequence<int, 64, 80, 96, 128, 256>;

namespace detail {

template <typename Use, int... Dims>
bool use_head_dim(int head_dim, const Use& use, std::integer_sequence<int, Dims...>) {
  return ((head_dim == Dims && (use(std::integral_constant<int, Dims>{}), true)) || ...);
}

template <int... Dims>
std::string list_head_dims(std::integer_sequence<int, Dims...>) {
  std::string text;
  ((text += (text.empty() ? "" : ", ") + std::to_string(Dims)), ...);
  return text;
}

}  // namespace detail

/// Calls `use` with head_dim as an integral constant. Throws InvalidArgument naming what there is.
template <typename Use>
void dispatch_head_dim(const char* what, int head_dim, const Use& use) {
  if (!detail::use_head_dim(head_dim, use, HeadDims{})) {
    throw InvalidArgument(std::string(what) + " on CUDA: head_dim " + std::to_string(head_dim) +
                          " is not supported; supported: " + detail::list_head_dims(HeadDims{}));
  }
}

}  // namespace kvg::kernels
