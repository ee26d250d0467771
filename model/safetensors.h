#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/dtype.h"

namespace kvg::model {

/// What a safetensors header says of one tensor.
struct TensorEntry {
  std::string dtype;                ///< as written: "BF16"
  std::vector<std::int64_t> shape;  ///< none negative; the product fits
  std::size_t offset = 0;           ///< of its first byte in the file
  std::size_t bytes = 0;

  /// The dtype in our words; nullopt when no weight may have it.
  [[nodiscard]] std::optional<DType> weight_dtype() const;
};

/// "[4096, 256]"
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

/// One memory-mapped safetensors file whose header has been checked whole: every tensor has a known
/// dtype and lies inside the file, as many bytes as its shape needs, overlapping no other.
class SafetensorsFile {
 public:
  /// Throws DataError naming the file, the tensor and what is wrong.
  explicit SafetensorsFile(const std::filesystem::path& file);
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  ~SafetensorsFile();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Null when there is no such tensor.
  [[nodiscard]] const TensorEntry* find(std::string_view tensor) const;

  [[nodiscard]] const std::byte* data(const TensorEntry& tensor) const {
    return data_ + tensor.offset;
  }
  /// Asks the system to begin reading a tensor.
  void will_need(const TensorEntry& tensor) const;
  /// Gives the tensor's pages back; reading it again would read the file again.
  void give_back(const TensorEntry& tensor) const;

 private:
  void map();
  void read_header();

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

}  // namespace kvg::model
