#include "model/families/families.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

#include "model/checkpoint.h"
#include "model/weight_layout.h"

namespace kvg::model {
namespace {

std::size_t parameters(const Config& config) {
  std::size_t count = 0;
  for (const WeightPart& part : lay_out_weights(config, config.dtype).parts) {
    count += part.count();
  }
  return count;
}

// As the models' cards give them; tied embeddings count once.
const std::map<std::string, std::size_t>& published_parameters() {
  static const std::map<std::string, std::size_t> kCounts = {{"llama-2-7b", 6'738'415'616},
                                                             {"llama-3.1-8b", 8'030'261'248},
                                                             {"llama-3.2-1b", 1'235'814'400},
                                                             {"llama-3.2-3b", 3'212'749'824},
                                                             {"mistral-7b-v0.3", 7'248'023'552},
                                                             {"pythia-70m", 70'426'624},
                                                             {"pythia-160m", 162'322'944},
                                                             {"pythia-410m", 405'334'016},
                                                             {"pythia-1b", 1'011'781'632},
                                                             {"pythia-1.4b", 1'414'647'808},
                                                             {"pythia-2.8b", 2'775'208'960},
                                                             {"pythia-6.9b", 6'857'302'016},
                                                             {"qwen2.5-0.5b", 494'032'768},
                                                             {"qwen2.5-7b", 7'615'616'512},
                                                             {"qwen3-0.6b", 596'049'920},
                                                             {"qwen3-8b", 8'190'735'360}};
  return kCounts;
}

TEST(Families, EveryShapeHasItsPublishedParameters) {
  EXPECT_EQ(shipped_shapes().size(), published_parameters().size());
  for (const std::string& shape : shipped_shapes()) {
    const Config config = find_model("synthetic:" + shape, 0).config;
    EXPECT_EQ(config.name, shape);
    EXPECT_EQ(parameters(config), published_parameters().at(shape)) << shape;
    EXPECT_EQ(config.sliding_window, std::nullopt) << shape;
  }
}

TEST(Families, ShapesThatTheResultsRestOn) {
  const Config pythia = find_model("synthetic:pythia-2.8b", 0).config;
  EXPECT_EQ(pythia.heads.head_dim, 80);
  EXPECT_EQ(pythia.rotary_dim, 20);
  EXPECT_EQ(pythia.dtype, DType::kF16);
  EXPECT_TRUE(pythia.parallel_residual);
  const Config llama = find_model("synthetic:llama-3.1-8b", 0).config;
  EXPECT_EQ(llama.heads.kv_heads, 8);
  EXPECT_EQ(llama.dtype, DType::kBF16);
  EXPECT_EQ(llama.max_positions, 131072);
  // The slowest wave is slowed by 8.
  EXPECT_NEAR(llama.inverse_frequencies.back(), 3.0689260e-7, 1e-13);
}

TEST(Families, NamesDiffer) {
  std::set<std::string_view> types;
  std::set<std::string_view> architectures;
  for (const Family* family : families()) {
    types.insert(family->model_type);
    architectures.insert(family->architecture);
  }
  EXPECT_EQ(types.size(), families().size());
  EXPECT_EQ(architectures.size(), families().size());
}

TEST(WeightLayout, PartsAreAlignedAndDoNotOverlap) {
  for (const char* shape : {"qwen2.5-0.5b", "qwen3-0.6b", "pythia-70m", "llama-3.2-1b"}) {
    const WeightLayout layout =
        lay_out_weights(find_model("synthetic:" + std::string(shape), 0).config, DType::kBF16);
    std::size_t end = 0;
    for (const WeightPart& part : layout.parts) {
      EXPECT_EQ(part.offset % 256, 0U);
      EXPECT_GE(part.offset, end);
      EXPECT_EQ(part.dtype, part.vector ? DType::kF32 : DType::kBF16);
      end = part.offset + part.bytes();
    }
    EXPECT_LE(end, layout.total);
    EXPECT_LT(layout.total - end, 256U);
  }
}

}  // namespace
}  // namespace kvg::model
