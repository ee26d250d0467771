#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "harness/experiment.h"
#include "kernels/backend.h"
#include "kernels/ceilings.h"
#include "model/checkpoint.h"

namespace kvg::harness {

/// What is measured: one model on one device. Its weights are loaded once, when a row first needs
/// them, whatever number of experiments share it.
class Subject {
 public:
  /// Reads the model's config and file headers and opens the device; of the experiment it uses
  /// what says which (model, device, dtype, seed, threads, memory limit). Throws kvg::Error.
  explicit Subject(const Experiment& experiment);
  ~Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  [[nodiscard]] const model::ModelSource& source() const { return source_; }
  [[nodiscard]] kernels::Backend& backend() const { return *backend_; }
  /// Of the weights' matrices on this device.
  [[nodiscard]] DType matrices() const;

  /// What a run may hold, and who says so.
  struct Bound {
    std::size_t bytes = 0;
    std::string name;
  };
  [[nodiscard]] const Bound& bound() const { return bound_; }

  /// Of the weight files, or "synthetic:SEED"; hashed once.
  [[nodiscard]] const std::string& weights_sha256();

  /// What the device reaches, measured once, before the weights are loaded.
  [[nodiscard]] const kernels::Ceilings& ceilings();
  /// Loads at the first call. Throws as model::load_weights() does.
  [[nodiscard]] const model::Weights& weights(const model::LoadProgress& progress);
  /// Gives the weights back; they are loaded anew when they are needed again.
  void unload() { weights_.reset(); }

 private:
  std::int32_t threads_ = 0;
  model::ModelSource source_;
  std::unique_ptr<kernels::Backend> backend_;
  Bound bound_;
  std::string weights_sha256_;
  std::optional<kernels::Ceilings> ceilings_;
  std::optional<model::Weights> weights_;
};

}  // namespace kvg::harness
