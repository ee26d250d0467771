#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/safetensors.h"
#include "model/weight_layout.h"

namespace kvg::model {

/// A tensor and the file that holds it.
struct FoundTensor {
  const SafetensorsFile* file = nullptr;
  const TensorEntry* entry = nullptr;
};

/// The weight files of a checkpoint's folder: model.safetensors, or the shards that
/// model.safetensors.index.json names.
class WeightFiles {
 public:
  /// Maps every file and checks every header. Throws DataError: no weights, an index that is broken
  /// or names a file outside the folder, a shard that is missing or lacks a tensor listed in it.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// In name order.
  [[nodiscard]] std::vector<std::filesystem::path> paths() const;

  /// The tensor that a part needs. Throws DataError when it is missing, has another shape or no
  /// dtype of weights.
  [[nodiscard]] FoundTensor find(const WeightPart& part, const PartSource& source) const;

  /// The dtype of the layout's matrices; kF32 where they differ, as the only one to hold them all.
  /// Checks every part on the way.
  [[nodiscard]] DType check(const WeightLayout& layout) const;

 private:
  void open_index(const std::filesystem::path& index);
  [[nodiscard]] FoundTensor locate(const std::string& tensor) const;

  std::filesystem::path folder_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>, std::less<>> files_;  ///< by name
};

}  // namespace kvg::model
