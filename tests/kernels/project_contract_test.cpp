#include <vector>

#include "tests/kernels/contract_fixture.h"

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::DeviceMatrix;
using testing_support::DeviceNorm;
using testing_support::Matrix;
using testing_support::NormWeights;
using testing_support::Values;

struct ProjectCase {
  int rows = 1;
  int in = 64;
  int out = 64;
  Activation activation = Activation::kNone;
  NormKind norm = NormKind::kRms;
  bool bias = false;

  [[nodiscard]] std::string text(DType weights) const {
    return std::to_string(rows) + " x " + std::to_string(in) + " -> " + std::to_string(out) +
           ", activation " + std::to_string(static_cast<int>(activation)) + ", weights " +
           std::string(name_of(weights));
  }
};

class ProjectContract : public BackendContract {
 protected:
  void reserve(const ProjectCase& params) {
    workspace_ = backend().make_workspace({.batch = params.rows,
                                           .rows = params.rows,
                                           .hidden = params.in,
                                           .features = params.out,
                                           .heads = {.heads = 1, .kv_heads = 1, .head_dim = 64},
                                           .entries = 1});
  }

  void check(const ProjectCase& params, DType weights, DType out_dtype) {
    const auto rows = static_cast<std::size_t>(params.rows);
    const Matrix matrix =
        testing_support::random_matrix(params.out, params.in, params.bias, weights);
    const NormWeights norm = testing_support::random_norm(params.norm, params.in);
    const Values in = testing_support::random_values(rows * static_cast<std::size_t>(params.in), 1);
    const Values want = testing_support::activated(
        testing_support::multiplied(testing_support::normalised(in, norm), matrix),
        params.activation,
        params.out);

    const DeviceMatrix device_matrix(backend(), matrix, weights);
    const DeviceNorm device_norm(backend(), norm);
    const DeviceArray in_array(backend(), in, DType::kF32);
    const DeviceArray out(backend(), want.size(), out_dtype);
    reserve(params);
    backend().project({.out = out.data(),
                       .out_dtype = out_dtype,
                       .in = in_array.floats(),
                       .norm = device_norm.norm(),
                       .linear = device_matrix.linear(),
                       .activation = params.activation,
                       .rows = params.rows});
    expect_close(out.read(), want, params.text(weights));
  }

  void check_add(const ProjectCase& params, DType weights) {
    const auto rows = static_cast<std::size_t>(params.rows);
    const Matrix matrix =
        testing_support::random_matrix(params.out, params.in, params.bias, weights);
    const Values in = testing_support::rounded(
        testing_support::random_values(rows * static_cast<std::size_t>(params.in), 1), compute());
    const Values before =
        testing_support::random_values(rows * static_cast<std::size_t>(params.out), 2);
    Values want = testing_support::multiplied(in, matrix);
    for (std::size_t i = 0; i < want.size(); ++i) {
      want[i] += before[i];
    }
    const DeviceMatrix device_matrix(backend(), matrix, weights);
    const DeviceArray in_array(backend(), in, compute());
    const DeviceArray inout(backend(), before, DType::kF32);
    reserve(params);
    backend().add_project({.inout = inout.floats(),
                           .in = in_array.data(),
                           .linear = device_matrix.linear(),
                           .rows = params.rows});
    expect_close(inout.read(), want, params.text(weights));
  }

 private:
  std::unique_ptr<Workspace> workspace_;
};

constexpr Activation kActivations[] = {Activation::kNone,
                                       Activation::kGelu,
                                       Activation::kGeluTanh,
                                       Activation::kSilu,
                                       Activation::kGatedSilu,
                                       Activation::kGatedGelu,
                                       Activation::kGatedGeluTanh};

TEST_P(ProjectContract, EveryActivationAndWeightType) {
  for (const DType weights : GetParam().weight_dtypes()) {
    for (const Activation activation : kActivations) {
      for (const int rows : {1, 3, 37}) {
        check({.rows = rows, .in = 64, .out = 146, .activation = activation, .bias = rows == 3},
              weights,
              compute());
      }
    }
  }
}

TEST_P(ProjectContract, AwkwardShapes) {
  for (const DType weights : GetParam().weight_dtypes()) {
    for (const int rows : {1, 2, 5, 7, 8, 9, 257}) {
      for (const int in : {1, 13, 37, 80, 257}) {
        check({.rows = rows, .in = in, .out = 67, .norm = NormKind::kLayer, .bias = true},
              weights,
              compute());
        check_add({.rows = rows, .in = in, .out = 131, .bias = rows % 2 == 0}, weights);
      }
    }
  }
}

TEST_P(ProjectContract, LogitsOfAnOddVocabularyInF32) {
  for (const DType weights : GetParam().weight_dtypes()) {
    for (const int rows : {1, 3, 20}) {
      check({.rows = rows, .in = 256, .out = 1003}, weights, DType::kF32);
    }
  }
}

TEST_P(ProjectContract, OneFeature) {
  for (const DType weights : GetParam().weight_dtypes()) {
    check(
        {.rows = 1, .in = 1, .out = 1, .norm = NormKind::kLayer, .bias = true}, weights, compute());
    check_add({.rows = 1, .in = 1, .out = 1, .bias = true}, weights);
    check_add({.rows = 11, .in = 704, .out = 1}, weights);
  }
}

// Rows whose products a device may not hold all at once.
TEST_P(ProjectContract, ManyRows) {
  for (const DType weights : GetParam().weight_dtypes()) {
    for (const Activation activation : {Activation::kGelu, Activation::kGatedSilu}) {
      check({.rows = 2111, .in = 40, .out = 48, .activation = activation, .bias = true},
            weights,
            compute());
    }
  }
}

TEST_P(ProjectContract, WideLayers) {
  for (const DType weights : GetParam().weight_dtypes()) {
    check({.rows = 2, .in = 2560, .out = 640, .activation = Activation::kGatedSilu},
          weights,
          compute());
    check_add({.rows = 2, .in = 5632, .out = 256}, weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         ProjectContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
