#include "tests/support/device_data.h"

namespace kvg::testing_support {

std::vector<Target> targets() {
  return {{.device = "cuda", .compute = DType::kF32},
          {.device = "cuda", .compute = DType::kF16},
          {.device = "cuda", .compute = DType::kBF16}};
}

}  // namespace kvg::testing_support
