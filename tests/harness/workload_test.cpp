#include "harness/workload.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "tests/support/expect_throw.h"
#include "tests/support/temp_folder.h"

namespace kvg::harness {
namespace {

class MakeWorkloads : public testing::Test {
 protected:
  std::vector<Workload> make(const Experiment& experiment) {
    check(experiment);
    return make_workloads(experiment,
                          model::find_model(experiment.model, experiment.seed),
                          [this](const std::string& line) { warnings_.push_back(line); });
  }

  std::string text_file(const std::string& content) {
    return folder_.write("text.txt", content).string();
  }

  testing_support::TempFolder folder_;
  std::vector<std::string> warnings_;
};

TEST_F(MakeWorkloads, CutsTheDefaultText) {
  const auto workloads = make({.max_tokens = 20, .num_samples = 2});
  ASSERT_EQ(workloads.size(), 1U);
  EXPECT_EQ(workloads[0].dataset, "persuasion");
  EXPECT_EQ(workloads[0].sha256.size(), 64U);
  ASSERT_EQ(workloads[0].samples.size(), 2U);
  for (const auto& sample : workloads[0].samples) {
    EXPECT_EQ(sample.size(), 20U);
    EXPECT_EQ(sample.front(), 1);  // the BOS counts
  }
  EXPECT_EQ(workloads[0].samples[0][1], 917);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(MakeWorkloads, PutsNoBosBeforeGptNeoX) {
  const auto workloads = make({.model = "tiny-neox", .max_tokens = 20, .num_samples = 1});
  EXPECT_NE(workloads[0].samples[0].front(), 0);
  EXPECT_EQ(workloads[0].samples[0].size(), 20U);
}

TEST_F(MakeWorkloads, WarnsWhenTheTextEndsEarly) {
  const auto workloads =
      make({.datasets = {text_file("One short line.")}, .max_tokens = 10, .num_samples = 50});
  EXPECT_LT(workloads[0].samples.size(), 50U);
  ASSERT_FALSE(warnings_.empty());
  EXPECT_NE(warnings_.back().find("of 50 samples; the text ends there"), std::string::npos);
}

TEST_F(MakeWorkloads, SkipsWhatIsTooShortAndRefusesNothing) {
  const Experiment experiment{
      .datasets = {text_file("Short.")}, .protocol = "split", .max_tokens = 200, .prefill = 100};
  testing_support::expect_invalid([&] { make(experiment); }, "no sample is left");
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_NE(warnings_[0].find("skipped 1 sample(s) of fewer than 101 tokens"), std::string::npos);
}

TEST_F(MakeWorkloads, WarnsBeyondTheModelsPositions) {
  make({.max_tokens = 2050, .num_samples = 1});
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_NE(warnings_[0].find("2049 tokens are fed, but model tiny-llama has "
                              "max_position_embeddings 2048"),
            std::string::npos);
}

TEST_F(MakeWorkloads, GivesASyntheticModelSeededIds) {
  const Experiment experiment{
      .model = "synthetic:pythia-2.8b", .max_tokens = 30, .num_samples = 2, .seed = 3};
  const auto workloads = make(experiment);
  ASSERT_EQ(workloads.size(), 1U);
  EXPECT_EQ(workloads[0].dataset, "random");
  EXPECT_FALSE(workloads[0].scored);
  ASSERT_EQ(workloads[0].samples.size(), 2U);
  EXPECT_NE(workloads[0].samples[0], workloads[0].samples[1]);
  EXPECT_EQ(workloads[0].samples, make(experiment)[0].samples);
}

TEST_F(MakeWorkloads, GivesSpeedOnePromptForEveryRepetition) {
  const auto workloads =
      make({.protocol = "speed", .prompt_len = 7, .gen_len = 2, .batch = 3, .repetitions = 4});
  ASSERT_EQ(workloads[0].samples.size(), 1U);
  EXPECT_EQ(workloads[0].samples[0].size(), 21U);
  EXPECT_EQ(workloads[0].repeats, 4);
}

TEST(RandomIds, StayInTheVocabularyAndFollowTheSeed) {
  const auto ids = random_ids(1, 1000, 17);
  EXPECT_GE(*std::ranges::min_element(ids), 0);
  EXPECT_LT(*std::ranges::max_element(ids), 17);
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), 17U);
  EXPECT_EQ(ids, random_ids(1, 1000, 17));
  EXPECT_NE(ids, random_ids(2, 1000, 17));
}

}  // namespace
}  // namespace kvg::harness
