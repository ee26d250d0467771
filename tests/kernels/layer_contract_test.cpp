#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/attend_case.h"

// Whole layers of a step in which the MLP needs nothing of the attention: a backend may run it
// beside that, and the projections of one layer while those of the layer before still run.

namespace kvg::kernels {
namespace {

using testing_support::DeviceArray;
using testing_support::DeviceMatrix;
using testing_support::DeviceNorm;
using testing_support::Matrix;
using testing_support::NormWeights;
using testing_support::SharedArray;
using testing_support::Values;

constexpr int kHeadDim = 64;

struct LayerCase {
  int rows = 1;
  int heads = 1;
  int features = 64;

  [[nodiscard]] AttendCase attention() const {
    return {.shape = {.heads = heads, .kv_heads = heads, .head_dim = kHeadDim},
            .batch = rows,
            .entries = 37,
            .capacity = 40};
  }
  [[nodiscard]] int hidden() const { return kHeadDim * heads; }
  [[nodiscard]] std::string text() const {
    return std::to_string(rows) + " x " + std::to_string(hidden()) + " x " +
           std::to_string(features);
  }
};

// What a layer is made of, here and on the device.
class Layer {
 public:
  Layer(Backend& backend, const LayerCase& params, std::uint32_t seed)
      : params_(params),
        compute_(backend.compute_dtype()),
        norm_(testing_support::random_norm(NormKind::kLayer, params.hidden())),
        qkv_(testing_support::random_matrix(3 * params.hidden(), params.hidden(), true, compute_)),
        out_(testing_support::random_matrix(params.hidden(), params.hidden(), true, compute_)),
        up_(testing_support::random_matrix(params.features, params.hidden(), true, compute_)),
        down_(testing_support::random_matrix(params.hidden(), params.features, true, compute_)),
        cache_(backend, params.attention(), seed),
        device_norm_(backend, norm_),
        device_qkv_(backend, qkv_, compute_),
        device_out_(backend, out_, compute_),
        device_up_(backend, up_, compute_),
        device_down_(backend, down_, compute_) {}

  [[nodiscard]] Values reference(Values residual) const {
    const Values in = testing_support::normalised(residual, norm_);
    const Values attended =
        attention(testing_support::rounded(testing_support::multiplied(in, qkv_), compute_));
    const Values features = testing_support::rounded(
        testing_support::activated(
            testing_support::multiplied(in, up_), Activation::kGelu, params_.features),
        compute_);
    testing_support::add(residual, testing_support::multiplied(features, down_));
    testing_support::add(residual, testing_support::multiplied(attended, out_));
    return residual;
  }

  struct Arrays {
    const DeviceArray& residual;
    const DeviceArray& query;
    const DeviceArray& attended;
    const DeviceArray& features;
    StepCursor* cursor;
  };

  // In the order in which a runner enqueues them.
  void enqueue(Backend& backend, const Arrays& arrays) const {
    const AttendCase attention = params_.attention();
    backend.project_qkv({.in = arrays.residual.floats(),
                         .norm = device_norm_.norm(),
                         .linear = device_qkv_.linear(),
                         .rope = {},
                         .shape = attention.shape,
                         .batch = params_.rows,
                         .tokens = 1,
                         .cursor = arrays.cursor,
                         .query = arrays.query.data(),
                         .kv = cache_.view(),
                         .heads = cache_.stored().heads});
    backend.project({.out = arrays.features.data(),
                     .out_dtype = compute_,
                     .in = arrays.residual.floats(),
                     .norm = device_norm_.norm(),
                     .linear = device_up_.linear(),
                     .activation = Activation::kGelu,
                     .rows = params_.rows});
    backend.add_project({.inout = arrays.residual.floats(),
                         .in = arrays.features.data(),
                         .linear = device_down_.linear(),
                         .rows = params_.rows});
    backend.attend({.out = arrays.attended.data(),
                    .query = arrays.query.data(),
                    .kv = cache_.stored(),
                    .shape = attention.shape,
                    .batch = params_.rows,
                    .scale = static_cast<float>(attention.scale())});
    backend.add_project({.inout = arrays.residual.floats(),
                         .in = arrays.attended.data(),
                         .linear = device_out_.linear(),
                         .rows = params_.rows});
  }

 private:
  // Of [rows, query, key and value of all heads]; the newest entry is a head's last.
  [[nodiscard]] Values attention(const Values& qkv) const {
    const AttendCase shape = params_.attention();
    Values all;
    for (int row = 0; row < params_.rows; ++row) {
      for (int head = 0; head < params_.heads; ++head) {
        const auto part = [&](int which) {
          const auto at = qkv.begin() + (3 * row + which) * params_.hidden() + kHeadDim * head;
          return Values(at, at + kHeadDim);
        };
        const auto with_newest = [](Values entries, const Values& newest) {
          std::ranges::copy(newest, entries.end() - kHeadDim);
          return entries;
        };
        const Values query = part(0);
        const Values one = testing_support::attended(
            {.queries = std::vector<const Values*>(static_cast<std::size_t>(shape.entries), &query),
             .keys = with_newest(cache_.keys(row, head), part(1)),
             .values = with_newest(cache_.values(row, head), part(2)),
             .scale = shape.scale()});
        all.insert(all.end(), one.begin(), one.end());
      }
    }
    return testing_support::rounded(all, compute_);
  }

  LayerCase params_;
  DType compute_;
  NormWeights norm_;
  Matrix qkv_;
  Matrix out_;
  Matrix up_;
  Matrix down_;
  CacheData cache_;
  DeviceNorm device_norm_;
  DeviceMatrix device_qkv_;
  DeviceMatrix device_out_;
  DeviceMatrix device_up_;
  DeviceMatrix device_down_;
};

class LayerContract : public BackendContract {
 protected:
  static constexpr std::uint32_t kLayers = 3;
  static constexpr std::uint32_t kTimes = 3;

  void check(const LayerCase& params) {
    std::vector<std::unique_ptr<Layer>> layers;
    for (std::uint32_t i = 0; i < kLayers; ++i) {
      layers.push_back(std::make_unique<Layer>(backend(), params, 100 * i));
    }
    WorkspaceShape shape = params.attention().workspace();
    shape.features = params.features;
    const auto workspace = backend().make_workspace(shape);
    const std::size_t count = params.attention().query_count();
    const auto feature_count = static_cast<std::size_t>(params.rows * params.features);
    const DeviceArray query(backend(), count, compute());
    const DeviceArray attended(backend(), count, compute());
    const DeviceArray features(backend(), feature_count, compute());
    const SharedArray<StepCursor> cursor(backend(), {{.position = 5, .sink_position = 0}});
    for (std::uint32_t time = 0; time < kTimes; ++time) {
      Values want = testing_support::random_values(count, time + 1);
      const DeviceArray residual(backend(), want, DType::kF32);
      for (const auto& layer : layers) {
        layer->enqueue(backend(), {residual, query, attended, features, cursor.data()});
        want = layer->reference(want);
      }
      expect_close(residual.read(), want, params.text());
    }
  }
};

TEST_P(LayerContract, MlpsBesideAttention) {
  for (const int rows : {1, 3, 8}) {
    check({.rows = rows, .heads = 10, .features = 2560});
  }
}

// Fewer units than a device has multiprocessors.
TEST_P(LayerContract, NarrowMlpsBesideAttention) {
  for (const int rows : {1, 5}) {
    check({.rows = rows, .heads = 1, .features = 24});
    check({.rows = rows, .heads = 2, .features = 200});
  }
}

INSTANTIATE_TEST_SUITE_P(Targets,
                         LayerContract,
                         testing::ValuesIn(testing_support::targets()),
                         target_name);

}  // namespace
}  // namespace kvg::kernels
