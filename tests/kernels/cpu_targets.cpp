#include "tests/support/device_data.h"

namespace kvg::testing_support {

std::vector<Target> targets() {
  return {{.device = "cpu", .compute = DType::kF32}};
}

}  // namespace kvg::testing_support
