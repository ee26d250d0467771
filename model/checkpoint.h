#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace kvg::model {

/// Done and total bytes of a load; called now and then, and at the end with both equal.
using LoadProgress = std::function<void(std::size_t done, std::size_t total)>;

/// A model that was found but not yet loaded: its config, and where its weights come from.
struct ModelSource {
  std::string text;  ///< as given: folder, shipped name, "synthetic:NAME"
  Config config;
  std::filesystem::path folder;  ///< the checkpoint's folder; empty for a synthetic model
  bool synthetic = false;
  std::uint64_t seed = 0;  ///< of synthetic weights
};

/// Finds a model by folder, shipped name (`tiny-llama`) or `synthetic:NAME|PATH/config.json`,
/// reading config.json and, for a checkpoint, the headers of its weight files: every tensor that
/// the family needs is present, of the right shape and inside its file. Throws InvalidArgument for
/// an unknown name (listing what exists), DataError for a broken file (naming it).
[[nodiscard]] ModelSource find_model(std::string_view text, std::uint64_t seed);

/// Names of the shipped checkpoints and of the shipped shapes for synthetic weights.
[[nodiscard]] std::vector<std::string> shipped_checkpoints();
[[nodiscard]] std::vector<std::string> shipped_shapes();

/// The dtype that matrices have on a backend that computes in `compute`: on the cpu the
/// checkpoint's own, on CUDA `compute`.
[[nodiscard]] DType matrix_dtype(const Config& config, kernels::DeviceKind device, DType compute);

/// Bytes that load_weights() will hold.
[[nodiscard]] std::size_t weight_bytes(const Config& config, DType matrix_dtype);

/// Loads into backend.pool() as one buffer. Files are memory-mapped and each tensor's pages are
/// given back once it is on the device. Throws OutOfMemory before anything is read.
[[nodiscard]] Weights load_weights(const ModelSource& source,
                                   kernels::Backend& backend,
                                   const LoadProgress& progress);

/// SHA-256 (hex) of the weight file, of the comma list of its shards' hashes in name order, or
/// "synthetic:SEED".
[[nodiscard]] std::string weights_hash(const ModelSource& source);

}  // namespace kvg::model
