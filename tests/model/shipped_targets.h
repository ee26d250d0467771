#pragma once

#include <algorithm>
#include <ostream>
#include <string>

#include "kernels/core/dtype.h"

namespace kvg::model {

/// A shipped model on a device of this test program, and what it computes in.
struct Target {
  const char* model;
  const char* device;
  DType compute;
};

inline std::ostream& operator<<(std::ostream& out, const Target& value) {
  return out << value.model << ' ' << name_of(value.compute);
}

/// Names a test for what has a model and computes in something: "tiny_llama_f32".
inline constexpr auto name_of_target = [](const auto& param_info) {
  std::string name =
      std::string(param_info.param.model) + "_" + std::string(name_of(param_info.param.compute));
  std::ranges::replace(name, '-', '_');
  return name;
};

#ifdef KVG_TEST_GPU
inline constexpr Target kTargets[] = {{"tiny-llama", "cuda", DType::kF32},
                                      {"tiny-llama", "cuda", DType::kBF16},
                                      {"tiny-neox", "cuda", DType::kF32},
                                      {"tiny-neox", "cuda", DType::kF16}};
#else
inline constexpr Target kTargets[] = {{"tiny-llama", "cpu", DType::kF32},
                                      {"tiny-neox", "cpu", DType::kF32}};
#endif

}  // namespace kvg::model
