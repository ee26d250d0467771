#include "harness/record.h"

namespace kvg::harness {

Record record_of(const Experiment& experiment, const kernels::DeviceInfo& device) {
  Record record;
  record.protocol = experiment.protocol;
  record.device = device.id;
  record.on_cuda = device.kind == kernels::DeviceKind::kCuda;
  record.batch = given_batch(experiment);
  record.seed = experiment.seed;
  record.query = experiment.protocol == "task" ? task_choice(experiment).query : std::string();
  return record;
}

}  // namespace kvg::harness
