#include "harness/subject.h"

#include "harness/calibration.h"
#include "kernels/core/error.h"
#include "kernels/device.h"

namespace kvg::harness {
namespace {

DType compute_dtype(const Experiment& experiment,
                    const kernels::DeviceInfo& device,
                    const model::Config& config) {
  const std::optional<DType> given = given_dtype(experiment);
  if (!given) {
    return device.kind == kernels::DeviceKind::kCpu ? DType::kF32 : config.dtype;
  }
  if (device.kind == kernels::DeviceKind::kCpu && *given != DType::kF32) {
    throw InvalidArgument("--dtype " + experiment.dtype +
                          " is not supported on the cpu, which computes in f32; weights keep their "
                          "16-bit form there. Allowed: auto, f32");
  }
  return *given;
}

std::unique_ptr<kernels::Backend> open_backend(const Experiment& experiment,
                                               const model::Config& config) {
  const kernels::DeviceInfo device = kernels::find_device(experiment.device);
  return kernels::make_backend(device,
                               {.compute = compute_dtype(experiment, device, config),
                                .threads = experiment.threads.value_or(0),
                                .memory_limit = experiment.memory_limit.value_or(0)});
}

Subject::Bound bound_of(const Experiment& experiment, const kernels::DeviceInfo& device) {
  // The cpu's free memory changes as the system gives up caches; what it has is a hard bound.
  const bool on_cpu = device.kind == kernels::DeviceKind::kCpu;
  Subject::Bound bound = on_cpu
                             ? Subject::Bound{device.total_bytes, "the memory of this machine"}
                             : Subject::Bound{device.free_bytes, "the free memory of " + device.id};
  if (experiment.memory_limit && *experiment.memory_limit < bound.bytes) {
    bound = {*experiment.memory_limit, "--memory-limit"};
  }
  return bound;
}

}  // namespace

Subject::Subject(const Experiment& experiment)
    : threads_(experiment.threads.value_or(0)),
      source_(model::find_model(experiment.model, experiment.seed)),
      backend_(open_backend(experiment, source_.config)),
      bound_(bound_of(experiment, backend_->device())) {}

DType Subject::matrices() const {
  return model::matrix_dtype(source_.config, backend_->device().kind, backend_->compute_dtype());
}

const std::string& Subject::weights_sha256() {
  if (weights_sha256_.empty()) {
    weights_sha256_ = model::weights_hash(source_);
  }
  return weights_sha256_;
}

const kernels::Ceilings& Subject::ceilings() {
  if (!ceilings_) {
    // Weights are what every step reads, so they are the least that one goes over.
    const std::size_t weights = model::weight_bytes(source_.config, matrices());
    ceilings_ = calibrate(*backend_, {.working_set = weights, .room = bound_.bytes / 2}, threads_);
  }
  return *ceilings_;
}

const model::Weights& Subject::weights(const model::LoadProgress& progress) {
  if (!weights_) {
    weights_ = model::load_weights(source_, *backend_, progress);
  }
  return *weights_;
}

}  // namespace kvg::harness
