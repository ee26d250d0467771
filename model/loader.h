#pragma once

#include "model/checkpoint.h"
#include "model/weight_files.h"
#include "model/weight_layout.h"

namespace kvg::model {

/// What filling a model's one buffer needs.
struct FillJob {
  const Config& config;
  const WeightLayout& layout;
  const Buffer& storage;
  kernels::Backend& backend;
  const LoadProgress& progress;
};

/// Bytes of host memory that a load stages at most.
inline constexpr std::size_t kStagingBytes = std::size_t{32} << 20U;

/// Copies a checkpoint's tensors into the buffer, converted where the layout says so.
void fill_from_files(const FillJob& job, const WeightFiles& files);

/// Fills the buffer with random values that depend on the seed, the tensor and the element alone,
/// rounded to the config's dtype first: neither threads nor the device change them.
///
/// Matrices have variance 1 / columns, so that activations keep their size; what is added to the
/// residual stream is scaled by 1 / sqrt(2 layers) on top. Norm weights lie around 1, biases around
/// 0. No element is 0.
void fill_with_random(const FillJob& job, std::uint64_t seed);

}  // namespace kvg::model
