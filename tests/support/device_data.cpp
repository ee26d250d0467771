#include "tests/support/device_data.h"

#include <cmath>
#include <random>

namespace kvg::testing_support {
namespace {

constexpr DType kAllDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

Values as_f32(const Values& values) {
  return rounded(values, DType::kF32);
}

std::vector<float> narrowed(const Values& values) {
  std::vector<float> floats;
  floats.reserve(values.size());
  for (const double value : values) {
    floats.push_back(static_cast<float>(value));
  }
  return floats;
}

}  // namespace

std::unique_ptr<kernels::Backend> Target::make() const {
  return kernels::make_backend(kernels::find_device(device), {.compute = compute, .threads = 2});
}

std::vector<DType> Target::weight_dtypes() const {
  if (device == "cpu") {
    return {std::begin(kAllDTypes), std::end(kAllDTypes)};
  }
  return {compute};
}

Values random_values(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(-1.7, 1.7);
  Values values(count);
  for (double& value : values) {
    value = distribution(generator);
  }
  return as_f32(values);
}

Values rounded(const Values& values, DType dtype) {
  const std::vector<float> floats = narrowed(values);
  std::vector<std::byte> stored(floats.size() * size_of(dtype));
  convert(stored.data(), dtype, floats.data(), DType::kF32, floats.size());
  std::vector<float> back(floats.size());
  convert(back.data(), DType::kF32, stored.data(), dtype, floats.size());
  return {back.begin(), back.end()};
}

DeviceArray::DeviceArray(kernels::Backend& backend, std::size_t count, DType dtype)
    : DeviceArray(backend, Values(count, std::nan("")), dtype) {}

DeviceArray::DeviceArray(kernels::Backend& backend, const Values& values, DType dtype)
    : backend_(&backend),
      dtype_(dtype),
      count_(values.size()),
      buffer_(backend.pool().allocate(values.size() * size_of(dtype), MemoryClass::kActivations)) {
  const std::vector<float> floats = narrowed(values);
  std::vector<std::byte> stored(buffer_.bytes());
  convert(stored.data(), dtype, floats.data(), DType::kF32, count_);
  backend.upload(buffer_.data(), stored.data(), stored.size());
}

std::vector<std::byte> DeviceArray::bytes() const {
  std::vector<std::byte> stored(buffer_.bytes());
  backend_->synchronize();
  backend_->download(stored.data(), buffer_.data(), stored.size());
  return stored;
}

Values DeviceArray::read() const {
  const std::vector<std::byte> stored = bytes();
  std::vector<float> floats(count_);
  convert(floats.data(), DType::kF32, stored.data(), dtype_, count_);
  return {floats.begin(), floats.end()};
}

DeviceBytes::DeviceBytes(kernels::Backend& backend, const std::vector<std::byte>& bytes)
    : backend_(&backend),
      buffer_(backend.pool().allocate(bytes.size(), MemoryClass::kActivations)) {
  backend.upload(buffer_.data(), bytes.data(), bytes.size());
}

std::vector<std::byte> DeviceBytes::read() const {
  std::vector<std::byte> bytes(buffer_.bytes());
  backend_->synchronize();
  backend_->download(bytes.data(), buffer_.data(), bytes.size());
  return bytes;
}

DeviceMatrix::DeviceMatrix(kernels::Backend& backend, const Matrix& matrix, DType dtype)
    : weight(backend, matrix.weight, dtype),
      bias(backend, matrix.bias, DType::kF32),
      out(matrix.out),
      in(matrix.in),
      has_bias(!matrix.bias.empty()) {}

kernels::Linear DeviceMatrix::linear() const {
  return {.weight = weight.data(),
          .bias = has_bias ? bias.floats() : nullptr,
          .dtype = weight.dtype(),
          .out = out,
          .in = in};
}

DeviceNorm::DeviceNorm(kernels::Backend& backend, const NormWeights& norm)
    : weight(backend, norm.weight, DType::kF32),
      bias(backend, norm.bias, DType::kF32),
      kind(norm.kind),
      eps(static_cast<float>(norm.eps)) {}

kernels::Norm DeviceNorm::norm() const {
  const bool has_bias = kind == kernels::NormKind::kLayer;
  return {.kind = kind,
          .weight = weight.floats(),
          .bias = has_bias ? bias.floats() : nullptr,
          .eps = eps};
}

Matrix random_matrix(int out, int in, bool bias, DType dtype) {
  const auto rows = static_cast<std::size_t>(out);
  const auto columns = static_cast<std::size_t>(in);
  Values weight = random_values(rows * columns, 11);
  for (double& value : weight) {
    value /= std::sqrt(static_cast<double>(in));
  }
  return {.weight = rounded(weight, dtype),
          .bias = bias ? random_values(rows, 12) : Values(),
          .out = out,
          .in = in};
}

NormWeights random_norm(kernels::NormKind kind, int dim) {
  const auto count = static_cast<std::size_t>(dim);
  const bool has_bias = kind == kernels::NormKind::kLayer;
  return {.kind = kind,
          .weight = random_values(count, 13),
          .bias = has_bias ? random_values(count, 14) : Values(),
          .eps = 1e-5};
}

RopeTable rope_table(int positions, int rotary_dim) {
  Values table;
  for (int position = 0; position < positions; ++position) {
    for (int i = 0; i < rotary_dim / 2; ++i) {
      const double angle = position * std::pow(10000.0, -2.0 * i / rotary_dim);
      table.push_back(std::cos(angle));
      table.push_back(std::sin(angle));
    }
  }
  return {.table = as_f32(table), .rotary_dim = rotary_dim};
}

}  // namespace kvg::testing_support
