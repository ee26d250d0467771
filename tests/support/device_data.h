#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/reference.h"

namespace kvg::testing_support {

/// A device and the type it computes in, as a parameter of a test.
struct Target {
  std::string device;  ///< as find_device() takes it
  DType compute = DType::kF32;

  [[nodiscard]] std::unique_ptr<kernels::Backend> make() const;
  [[nodiscard]] std::string name() const { return device + "_" + std::string(name_of(compute)); }
  /// The forms of matrices that it takes: on the cpu all, on CUDA its own.
  [[nodiscard]] std::vector<DType> weight_dtypes() const;
};

inline std::ostream& operator<<(std::ostream& out, const Target& target) {
  return out << target.name();
}

/// The targets of the test program; each program defines its own.
[[nodiscard]] std::vector<Target> targets();

/// Seeded values of about unit size.
[[nodiscard]] Values random_values(std::size_t count, std::uint32_t seed);

/// The values that a type can hold.
[[nodiscard]] Values rounded(const Values& values, DType dtype);

/// An array in a backend's pool.
class DeviceArray {
 public:
  /// Poisoned: every element is NaN.
  DeviceArray(kernels::Backend& backend, std::size_t count, DType dtype);
  DeviceArray(kernels::Backend& backend, const Values& values, DType dtype);

  [[nodiscard]] void* data() const { return buffer_.data(); }
  [[nodiscard]] float* floats() const { return buffer_.as<float>(); }
  [[nodiscard]] DType dtype() const { return dtype_; }
  /// Waits for the backend.
  [[nodiscard]] Values read() const;
  /// As stored, for comparing bits.
  [[nodiscard]] std::vector<std::byte> bytes() const;

 private:
  kernels::Backend* backend_;
  DType dtype_;
  std::size_t count_;
  Buffer buffer_;
};

/// Bytes in a backend's pool.
class DeviceBytes {
 public:
  DeviceBytes(kernels::Backend& backend, const std::vector<std::byte>& bytes);

  [[nodiscard]] void* data() const { return buffer_.data(); }
  /// Waits for the backend.
  [[nodiscard]] std::vector<std::byte> read() const;

 private:
  kernels::Backend* backend_;
  Buffer buffer_;
};

/// 32-bit integers (or cursors) in memory that the host and the device share.
template <typename T>
class SharedArray {
 public:
  SharedArray(kernels::Backend& backend, const std::vector<T>& values)
      : count_(values.size()),
        buffer_(
            backend.host_pool().allocate(values.size() * sizeof(T), MemoryClass::kObservations)) {
    for (std::size_t i = 0; i < count_; ++i) {
      data()[i] = values[i];
    }
  }
  [[nodiscard]] T* data() const { return buffer_.template as<T>(); }
  [[nodiscard]] std::vector<T> read() const { return {data(), data() + count_}; }

 private:
  std::size_t count_;
  Buffer buffer_;
};

/// A matrix on a device, its bias included.
struct DeviceMatrix {
  DeviceMatrix(kernels::Backend& backend, const Matrix& matrix, DType dtype);
  [[nodiscard]] kernels::Linear linear() const;

  DeviceArray weight;
  DeviceArray bias;
  int out;
  int in;
  bool has_bias;
};

struct DeviceNorm {
  DeviceNorm(kernels::Backend& backend, const NormWeights& norm);
  [[nodiscard]] kernels::Norm norm() const;

  DeviceArray weight;
  DeviceArray bias;
  kernels::NormKind kind;
  float eps;
};

/// Random ones, with weights as `dtype` holds them.
[[nodiscard]] Matrix random_matrix(int out, int in, bool bias, DType dtype);
[[nodiscard]] NormWeights random_norm(kernels::NormKind kind, int dim);
[[nodiscard]] RopeTable rope_table(int positions, int rotary_dim);

}  // namespace kvg::testing_support
