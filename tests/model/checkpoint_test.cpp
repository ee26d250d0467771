#include "model/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <omp.h>
#include <span>

#include "kernels/core/sha256.h"
#include "tests/model/model_files.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using nlohmann::json;
using testing_support::CountingTensor;
using testing_support::expect_invalid;
using testing_support::expect_throw;
using testing_support::safetensors_of;
using testing_support::TempFolder;
using testing_support::tensors_of;

constexpr const char* kIndex = "model.safetensors.index.json";

std::unique_ptr<kernels::Backend> cpu(std::size_t memory_limit = 0) {
  return kernels::make_backend(kernels::find_device("cpu"), {.memory_limit = memory_limit});
}

// Two heads of two channels, so that every row can be named by hand.
class SmallCheckpoint : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("config.json",
                  json{{"model_type", "gpt_neox"},
                       {"hidden_size", 4},
                       {"intermediate_size", 6},
                       {"num_hidden_layers", 1},
                       {"num_attention_heads", 2},
                       {"rotary_pct", 1.0},
                       {"vocab_size", 5}}
                      .dump());
    tensors_ = tensors_of(load_config(folder_.path() / "config.json"));
  }

  CountingTensor& tensor(std::string_view part_of_name) {
    return *std::ranges::find_if(tensors_, [&](const CountingTensor& tensor) {
      return tensor.name.find(part_of_name) != std::string::npos;
    });
  }

  void save() { folder_.write("model.safetensors", safetensors_of(tensors_)); }

  // The first `count` tensors in one shard, the others in a second.
  void save_shards(std::size_t count) {
    const auto middle = tensors_.begin() + static_cast<std::ptrdiff_t>(count);
    folder_.write("a.safetensors", safetensors_of({tensors_.begin(), middle}));
    folder_.write("b.safetensors", safetensors_of({middle, tensors_.end()}));
    json map;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      map[tensors_[i].name] = i < count ? "a.safetensors" : "b.safetensors";
    }
    folder_.write(kIndex, json{{"weight_map", map}}.dump());
  }

  [[nodiscard]] ModelSource find() const { return find_model(folder_.path().string(), 0); }

  void expect_refused(std::string_view message) {
    expect_throw<DataError>([&] { (void)find(); }, message);
  }

  TempFolder folder_;
  std::vector<CountingTensor> tensors_;
};

// Row r of the fused matrix begins at first + 4 r. Saved: q0 q0 k0 k0 v0 v0 q1 q1 k1 k1 v1 v1.
TEST_F(SmallCheckpoint, FusedRowsAreSortedIntoQueriesKeysValues) {
  save();
  const auto backend = cpu();
  const Weights weights = load_weights(find(), *backend, {});
  const kernels::Linear& qkv = weights.layers[0].qkv;
  ASSERT_EQ(qkv.out, 12);
  ASSERT_EQ(qkv.in, 4);
  const float first = tensor("query_key_value.weight").first;
  const float bias = tensor("query_key_value.bias").first;
  const auto* values = static_cast<const float*>(qkv.weight);
  constexpr int kSavedRow[] = {0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11};
  for (int row = 0; row < 12; ++row) {
    for (int column = 0; column < 4; ++column) {
      EXPECT_EQ(values[row * 4 + column], first + static_cast<float>(kSavedRow[row] * 4 + column));
    }
    EXPECT_EQ(qkv.bias[row], bias + static_cast<float>(kSavedRow[row]));
  }
}

TEST_F(SmallCheckpoint, ShardsLoadLikeOneFile) {
  save();
  const auto backend = cpu();
  const Weights one = load_weights(find(), *backend, {});
  std::filesystem::remove(folder_.path() / "model.safetensors");
  save_shards(5);
  const Weights sharded = load_weights(find(), *backend, {});
  ASSERT_EQ(one.storage.bytes(), sharded.storage.bytes());
  for (const WeightPart& part : lay_out_weights(find().config, DType::kF32).parts) {
    EXPECT_EQ(std::memcmp(one.storage.as<std::byte>(part.offset),
                          sharded.storage.as<std::byte>(part.offset),
                          part.bytes()),
              0);
  }
}

TEST_F(SmallCheckpoint, HeadMayBeSavedUnderItsOtherName) {
  tensor("embed_out").name = "lm_head.weight";
  save();
  const auto backend = cpu();
  const Weights weights = load_weights(find(), *backend, {});
  EXPECT_EQ(static_cast<const float*>(weights.head.weight)[1], tensor("lm_head").first + 1.0F);
}

TEST_F(SmallCheckpoint, TensorsThatNoPartNeedsAreIgnored) {
  tensors_.push_back({"gpt_neox.layers.0.attention.rotary_emb.inv_freq", {1}, 0.0F});
  save();
  EXPECT_EQ(find().config.layers, 1);
}

TEST_F(SmallCheckpoint, ProgressEndsAtTheTotal) {
  save();
  const auto backend = cpu();
  std::size_t last = 0;
  std::size_t total = 0;
  (void)load_weights(find(), *backend, [&](std::size_t done, std::size_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  });
  EXPECT_EQ(total, weight_bytes(find().config, DType::kF32));
  EXPECT_EQ(last, total);
}

TEST_F(SmallCheckpoint, RefusesFoldersWithoutWeights) {
  expect_refused("no weights; expected model.safetensors or model.safetensors.index.json");
  std::filesystem::remove(folder_.path() / "config.json");
  expect_refused("config.json: missing or not readable");
}

TEST_F(SmallCheckpoint, RefusesMissingTensorsWrongShapesAndTypes) {
  tensor("dense.bias").name = "other";
  save();
  expect_refused("tensor \"gpt_neox.layers.0.attention.dense.bias\" is missing");
  tensor("other").name = "gpt_neox.layers.0.attention.dense.bias";
  tensor("embed_in").shape = {4, 5};
  save();
  expect_refused("tensor \"gpt_neox.embed_in.weight\" has shape [4, 5]; config.json wants [5, 4]");
  tensor("embed_in").shape = {5, 4};
  std::string bytes = safetensors_of(tensors_);
  bytes.replace(bytes.find("\"F32\""), 5, "\"I32\"");
  folder_.write("model.safetensors", bytes);
  expect_refused("has dtype I32; supported: F32, F16, BF16");
}

TEST_F(SmallCheckpoint, RefusesBrokenIndexes) {
  save_shards(5);
  std::filesystem::remove(folder_.path() / "b.safetensors");
  expect_refused("b.safetensors: missing or not readable");
  folder_.write("b.safetensors", safetensors_of({{"other", {1}, 0.0F}}));
  expect_refused("is listed in the index but absent");
  folder_.write(kIndex, "{}");
  expect_refused("weight_map is missing or empty");
  folder_.write(kIndex, R"({"weight_map":{"a":3}})");
  expect_refused("weight_map names no file for tensor \"a\"");
}

TEST_F(SmallCheckpoint, RefusesShardsOutsideTheFolder) {
  for (const char* name : {"../a.safetensors", "/etc/passwd", "..", "", "sub/a.safetensors"}) {
    folder_.write(kIndex, json{{"weight_map", {{"a", name}}}}.dump());
    expect_refused("shard " + json(name).dump() + " is not the plain name of a file");
  }
  TempFolder elsewhere;
  elsewhere.write("x.safetensors", safetensors_of(tensors_));
  std::filesystem::create_symlink(elsewhere.path() / "x.safetensors",
                                  folder_.path() / "link.safetensors");
  folder_.write(kIndex, R"({"weight_map":{"a":"link.safetensors"}})");
  expect_refused("shard \"link.safetensors\" links to a file outside this folder");
}

TEST(FindModel, ListsWhatExists) {
  for (const char* text : {"nope", "synthetic:nope", "synthetic:", "../tiny-llama-nope"}) {
    expect_invalid([&] { (void)find_model(text, 0); },
                   "model \"" + std::string(text) +
                       "\" is unknown; give a folder, one of tiny-llama, tiny-neox, or "
                       "synthetic:NAME with a path of a config.json or one of llama-2-7b, ");
  }
}

TEST(FindModel, TakesNamesFoldersAndFiles) {
  const ModelSource shipped = find_model("tiny-llama", 0);
  EXPECT_EQ(shipped.config.name, "tiny-llama");
  EXPECT_EQ(shipped.config.dtype, DType::kBF16);
  EXPECT_EQ(find_model(shipped.folder.string(), 0).config.hidden, 256);
  const auto file = shipped.folder / "config.json";
  const ModelSource synthetic = find_model("synthetic:" + file.string(), 7);
  EXPECT_TRUE(synthetic.synthetic);
  EXPECT_TRUE(synthetic.folder.empty());
  EXPECT_EQ(weights_hash(synthetic), "synthetic:7");
  EXPECT_EQ(weights_hash(shipped), sha256_file(shipped.folder / "model.safetensors"));
}

TEST(LoadWeights, HoldsWhatWasPredicted) {
  for (const char* name : {"tiny-llama", "tiny-neox", "synthetic:tiny-llama"}) {
    const auto backend = cpu();
    const ModelSource source = find_model(name, 0);
    const Weights weights = load_weights(source, *backend, {});
    EXPECT_EQ(backend->pool().stats().of(MemoryClass::kWeights),
              weight_bytes(source.config, source.config.dtype));
  }
}

TEST(LoadWeights, RefusesWhatDoesNotFitBeforeReading) {
  const auto backend = cpu(std::size_t{1} << 20U);
  bool began = false;
  expect_throw<OutOfMemory>(
      [&] {
        (void)load_weights(find_model("synthetic:llama-3.1-8b", 0),
                           *backend,
                           [&](std::size_t, std::size_t) { began = true; });
      },
      "weights");
  EXPECT_FALSE(began);
}

TEST(LoadWeights, TiedHeadIsTheEmbedding) {
  const auto backend = cpu();
  const Weights weights = load_weights(find_model("tiny-llama", 0), *backend, {});
  EXPECT_EQ(weights.head.weight, weights.embedding.weight);
  EXPECT_EQ(weights.embedding.dtype, DType::kBF16);
  EXPECT_EQ(weights.layers[7].up.out, 2 * 704);
}

TEST(MatrixDtype, IsTheCheckpointsOnTheCpuAndTheComputeTypeOnCuda) {
  const Config config = find_model("tiny-neox", 0).config;
  EXPECT_EQ(matrix_dtype(config, kernels::DeviceKind::kCpu, DType::kF32), DType::kF16);
  EXPECT_EQ(matrix_dtype(config, kernels::DeviceKind::kCuda, DType::kF32), DType::kF32);
}

class Synthetic : public testing::Test {
 protected:
  [[nodiscard]] std::vector<float> values(std::uint64_t seed) const {
    const ModelSource source = find_model("synthetic:tiny-neox", seed);
    const Weights weights = load_weights(source, *backend_, {});
    std::vector<float> all;
    for (const WeightPart& part : lay_out_weights(source.config, source.config.dtype).parts) {
      const std::size_t begin = all.size();
      all.resize(begin + part.count());
      convert(all.data() + begin,
              DType::kF32,
              weights.storage.as<std::byte>(part.offset),
              part.dtype,
              part.count());
    }
    return all;
  }

  std::unique_ptr<kernels::Backend> backend_ = cpu();
};

TEST_F(Synthetic, DependsOnTheSeedAloneAndNotOnThreads) {
  const std::vector<float> once = values(1);
  EXPECT_EQ(values(1), once);
  EXPECT_NE(values(2), once);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(threads == 1 ? 3 : 1);
  EXPECT_EQ(values(1), once);
  omp_set_num_threads(threads);
}

TEST_F(Synthetic, HasNoZerosNoConstantsNoNan) {
  const ModelSource source = find_model("synthetic:tiny-neox", 3);
  const std::vector<float> all = values(3);
  std::size_t begin = 0;
  for (const WeightPart& part : lay_out_weights(source.config, source.config.dtype).parts) {
    const std::span<const float> values(all.data() + begin, part.count());
    begin += part.count();
    double sum = 0.0;
    double squares = 0.0;
    for (const float value : values) {
      ASSERT_TRUE(std::isfinite(value));
      ASSERT_NE(value, 0.0F);
      sum += static_cast<double>(value);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double mean = sum / static_cast<double>(values.size());
    const double deviation = std::sqrt(squares / static_cast<double>(values.size()) - mean * mean);
    EXPECT_NEAR(mean, part.vector && !part.bias ? 1.0 : 0.0, 0.02);
    const bool residual = part.role == WeightRole::kAttentionOut || part.role == WeightRole::kDown;
    const double matrix = 1.0 / std::sqrt(part.columns * (residual ? 2.0 * 6 : 1.0));
    EXPECT_NEAR(deviation / (part.vector ? 0.05 : matrix), 1.0, 0.1);
  }
}

}  // namespace
}  // namespace kvg::model
