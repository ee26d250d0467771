#pragma once

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/weight_layout.h"
#include "tests/support/temp_folder.h"

namespace kvg::testing_support {

/// The bytes of a safetensors file with this header and so many zero bytes of data.
inline std::string safetensors_bytes(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(data_bytes, '\0');
}

/// Tensors of f32 whose elements count up from `first`, by name.
struct CountingTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  float first = 0.0F;
};

inline std::string safetensors_of(const std::vector<CountingTensor>& tensors) {
  nlohmann::json header;
  std::string data;
  for (const CountingTensor& tensor : tensors) {
    std::size_t count = 1;
    for (const std::int64_t dim : tensor.shape) {
      count *= static_cast<std::size_t>(dim);
    }
    const std::size_t begin = data.size();
    for (std::size_t i = 0; i < count; ++i) {
      const float value = tensor.first + static_cast<float>(i);
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  return safetensors_bytes(header.dump(), 0) + data;
}

/// Every tensor that a config needs; the elements of each start at 1000 times its index.
inline std::vector<CountingTensor> tensors_of(const model::Config& config) {
  std::vector<CountingTensor> tensors;
  for (const model::WeightPart& part : model::lay_out_weights(config, DType::kF32).parts) {
    for (const model::PartSource& source : part.sources) {
      CountingTensor tensor{.name = source.tensor, .shape = {source.rows}};
      tensor.first = 1000.0F * static_cast<float>(tensors.size());
      if (!part.vector) {
        tensor.shape.push_back(part.columns);
      }
      tensors.push_back(std::move(tensor));
    }
  }
  return tensors;
}

}  // namespace kvg::testing_support
