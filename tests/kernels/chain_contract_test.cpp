#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/contract_fixture.h"

// Projections that take each other's results, as those of the layers of a step do: a backend may
// run several at once.

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::DeviceMatrix;
using testing_support::DeviceNorm;
using testing_support::Matrix;
using testing_support::NormWeights;
using testing_support::Values;

struct ChainCase {
  int rows = 1;
  int hidden = 128;
  int features = 320;
  Activation activation = Activation::kGatedSilu;
  NormKind norm = NormKind::kRms;
  bool parallel = false;  ///< the MLP reads what the attention's output is added to
  int planned_rows = 0;   ///< of a step; 0: as many as there are

  [[nodiscard]] std::string text() const {
    return std::to_string(rows) + " x " + std::to_string(hidden) + " x " +
           std::to_string(features) + (parallel ? ", parallel" : "");
  }
};

struct Layer {
  Matrix attention_out;
  Matrix up;
  Matrix down;
  NormWeights norm;
};

class ChainContract : public BackendContract {
 protected:
  static constexpr int kLayers = 3;
  static constexpr std::uint32_t kTimes = 3;

  void make(const ChainCase& params) {
    const bool gated = params.activation == Activation::kGatedSilu;
    const bool biased = params.norm == NormKind::kLayer;
    layers_.clear();
    for (int i = 0; i < kLayers; ++i) {
      layers_.push_back({.attention_out = testing_support::random_matrix(
                             params.hidden, params.hidden, biased, compute()),
                         .up = testing_support::random_matrix(
                             params.features * (gated ? 2 : 1), params.hidden, biased, compute()),
                         .down = testing_support::random_matrix(
                             params.hidden, params.features, biased, compute()),
                         .norm = testing_support::random_norm(params.norm, params.hidden)});
    }
    const int planned = params.planned_rows > 0 ? params.planned_rows : params.rows;
    workspace_ = backend().make_workspace({.batch = planned,
                                           .rows = params.rows,
                                           .hidden = params.hidden,
                                           .features = params.features * (gated ? 2 : 1),
                                           .heads = {.heads = 1, .kv_heads = 1, .head_dim = 64},
                                           .entries = 1});
  }

  [[nodiscard]] Values reference(const ChainCase& params, Values residual, const Values& attended) {
    for (const Layer& layer : layers_) {
      const Values before = residual;
      testing_support::add(residual, testing_support::multiplied(attended, layer.attention_out));
      const Values features = testing_support::activated(
          testing_support::multiplied(
              testing_support::normalised(params.parallel ? before : residual, layer.norm),
              layer.up),
          params.activation,
          layer.up.out);
      testing_support::add(
          residual,
          testing_support::multiplied(testing_support::rounded(features, compute()), layer.down));
    }
    return residual;
  }

  // In the order in which a runner enqueues them.
  void enqueue(const ChainCase& params, const DeviceArray& residual, const DeviceArray& attended) {
    std::vector<std::unique_ptr<DeviceMatrix>> matrices;
    std::vector<std::unique_ptr<DeviceNorm>> norms;
    const auto on_device = [&](const Matrix& matrix) {
      matrices.push_back(std::make_unique<DeviceMatrix>(backend(), matrix, compute()));
      return matrices.back()->linear();
    };
    const DeviceArray features(
        backend(), static_cast<std::size_t>(params.rows * params.features), compute());
    std::vector<Linear> linears;
    for (const Layer& layer : layers_) {
      linears.push_back(on_device(layer.attention_out));
      linears.push_back(on_device(layer.up));
      linears.push_back(on_device(layer.down));
      norms.push_back(std::make_unique<DeviceNorm>(backend(), layer.norm));
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto attention_out = [&] {
        backend().add_project({.inout = residual.floats(),
                               .in = attended.data(),
                               .linear = linears[3 * i],
                               .rows = params.rows});
      };
      if (!params.parallel) {
        attention_out();
      }
      backend().project({.out = features.data(),
                         .out_dtype = compute(),
                         .in = residual.floats(),
                         .norm = norms[i]->norm(),
                         .linear = linears[3 * i + 1],
                         .activation = params.activation,
                         .rows = params.rows});
      backend().add_project({.inout = residual.floats(),
                             .in = features.data(),
                             .linear = linears[3 * i + 2],
                             .rows = params.rows});
      if (params.parallel) {
        attention_out();
      }
    }
    backend().synchronize();
  }

  void check(const ChainCase& params) {
    make(params);
    const auto count = static_cast<std::size_t>(params.rows * params.hidden);
    for (std::uint32_t time = 0; time < kTimes; ++time) {
      const Values residual = testing_support::random_values(count, 2 * time + 1);
      const Values attended =
          testing_support::rounded(testing_support::random_values(count, 2 * time + 2), compute());
      const DeviceArray device_residual(backend(), residual, DType::kF32);
      const DeviceArray device_attended(backend(), attended, compute());
      enqueue(params, device_residual, device_attended);
      expect_close(device_residual.read(), reference(params, residual, attended), params.text());
    }
  }

 private:
  std::vector<Layer> layers_;
  std::unique_ptr<Workspace> workspace_;
};

TEST_P(ChainContract, LayersOneAfterAnother) {
  for (const int rows : {1, 2, 5, 8, 9}) {
    check({.rows = rows});
    check({.rows = rows,
           .hidden = 80,
           .features = 328,
           .activation = Activation::kGelu,
           .norm = NormKind::kLayer});
  }
  check({.hidden = 1024, .features = 2048});
}

TEST_P(ChainContract, ParallelMlps) {
  for (const int rows : {1, 3, 8}) {
    check({.rows = rows,
           .hidden = 640,
           .features = 2560,
           .activation = Activation::kGelu,
           .norm = NormKind::kLayer,
           .parallel = true});
  }
}

// Fewer units than a device has multiprocessors.
TEST_P(ChainContract, NarrowLayers) {
  check({.hidden = 8, .features = 16});
  check({.rows = 4, .hidden = 16, .features = 8});
}

// What a kernel has for weights is what inputs leave.
TEST_P(ChainContract, InputsOfEveryLength) {
  for (const int rows : {1, 5, 8}) {
    for (int features = 64; features <= 64 * 24; features += 64) {
      check({.rows = rows, .hidden = 32, .features = features});
    }
  }
}

// A prompt's few tokens in a workspace of steps of one.
TEST_P(ChainContract, MoreRowsThanAStepHas) {
  check({.rows = 6, .planned_rows = 1});
}

// What is no number has to reach the end like anything else.
TEST_P(ChainContract, NotANumbersPassThrough) {
  const ChainCase params;
  make(params);
  const auto count = static_cast<std::size_t>(params.hidden);
  const DeviceArray poisoned(backend(), count, DType::kF32);
  const DeviceArray attended(backend(), count, compute());
  enqueue(params, poisoned, attended);
  const Values got = poisoned.read();
  EXPECT_TRUE(std::all_of(got.begin(), got.end(), [](double value) { return std::isnan(value); }));
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ChainContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
