#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "tests/support/device_data.h"

namespace kvg::kernels {

/// A suite that every target of the program has to pass.
class BackendContract : public testing::TestWithParam<testing_support::Target> {
 protected:
  BackendContract() : backend_(GetParam().make()) {}

  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] DType compute() const { return GetParam().compute; }

  /// Largest relative error (Euclidean) of a result. f32: sums of up to a few thousand terms. f16
  /// and bf16: a few roundings of half a unit in the last place, 2^-12 and 2^-9, one on top of the
  /// other.
  [[nodiscard]] double bound() const {
    switch (compute()) {
      case DType::kF16:
        return 4e-3;
      case DType::kBF16:
        return 1e-2;
      case DType::kF32:
        break;
    }
    return 1e-5;
  }

  void expect_close(const testing_support::Values& got,
                    const testing_support::Values& want,
                    const std::string& what) const {
    // Written so that a NaN fails.
    EXPECT_LT(testing_support::relative_error(got, want), bound()) << what;
  }

 private:
  std::unique_ptr<Backend> backend_;
};

inline std::string target_name(const testing::TestParamInfo<testing_support::Target>& param_info) {
  return param_info.param.name();
}

}  // namespace kvg::kernels
