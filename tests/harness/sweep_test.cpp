#include "harness/sweep.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/cell.h"
#include "harness/json_document.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

// Hears of weights and cells, and wants no row after `most_`.
class SweepEars final : public Listener {
 public:
  void warn(const std::string& line) override { warnings_.push_back(line); }
  void progress(std::string_view what, std::size_t done, std::size_t total) override {
    // The end of a load may be told more than once.
    const bool ends = what == "loading weights" && done == total;
    loads_ += ends && !ended_ ? 1 : 0;
    ended_ = ends;
  }
  void idle() override {}
  void cells(std::size_t done, std::size_t total) override {
    done_ = done;
    total_ = total;
  }
  [[nodiscard]] bool stopping() const override { return done_ >= most_; }

  std::size_t most_ = 1000;
  int loads_ = 0;
  bool ended_ = false;
  std::size_t done_ = 0;
  std::size_t total_ = 0;
  std::vector<std::string> warnings_;
};

// 2 models x 2 lengths x 2 policies.
Grid small() {
  Grid grid;
  grid.base.device = KVG_TEST_DEVICE;
  grid.base.num_samples = 1;
  grid.base.warmup = 0;
  grid.models = {"tiny-llama", "tiny-neox"};
  grid.policies = {"baseline", "streaming_8"};
  grid.counts = {{.count = &counts().front(), .values = {16, 20}}};
  return grid;
}

TEST(RunSweep, LoadsAModelOnce) {
  SweepEars ears;
  Keep keep;
  Sweep sweep(small(), ears);
  const Sweep::Outcome outcome = sweep.run({"kvgauge"}, keep);
  EXPECT_EQ(outcome.measured, 8U);
  EXPECT_EQ(outcome.failed, 0U);
  EXPECT_EQ(outcome.left, 0U);
  EXPECT_EQ(ears.loads_, 2);
  EXPECT_EQ(ears.done_, 8U);
  EXPECT_EQ(ears.total_, 8U);
  ASSERT_EQ(keep.tables_.size(), 4U);
  EXPECT_EQ(keep.tables_[1].variant, "max-tokens 20");
}

TEST(RunSweep, LoadsNothingThatIsFinished) {
  SweepEars ears;
  Keep keep;
  Sweep sweep(small(), ears);
  std::set<std::string> finished = sweep.keys();
  EXPECT_EQ(finished.size(), 8U);
  std::erase_if(finished, [](const std::string& key) {
    return key.find("tiny-neox") != std::string::npos && key.find("streaming") != std::string::npos;
  });
  sweep.leave_out(finished);
  EXPECT_EQ(sweep.run({"kvgauge"}, keep).measured, 2U);
  EXPECT_EQ(ears.loads_, 1);
  EXPECT_EQ(ears.done_, 8U);
  for (const Record& record : keep.records_) {
    EXPECT_EQ(record.model, "tiny-neox");
    EXPECT_EQ(record.method, "streaming_8");
    EXPECT_FALSE(finished.contains(cell_key(to_json(record))));
  }
}

TEST(RunSweep, StopsBetweenCells) {
  SweepEars ears;
  ears.most_ = 3;
  Keep keep;
  const Sweep::Outcome outcome = Sweep(small(), ears).run({"kvgauge"}, keep);
  EXPECT_EQ(outcome.measured, 3U);
  EXPECT_EQ(outcome.left, 5U);
  EXPECT_EQ(keep.records_.size(), 3U);
}

TEST(RunSweep, SharesNoFigureBetweenExperiments) {
  SweepEars ears;
  Keep keep;
  Sweep(small(), ears).run({"kvgauge"}, keep);
  Grid alone = small();
  alone.models = {"tiny-neox"};
  alone.counts[0].values = {20};
  Keep kept_alone;
  Sweep(alone, ears).run({"kvgauge"}, kept_alone);
  ASSERT_EQ(kept_alone.records_.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const Record& row = keep.records_[6 + i];
    const Record& row_alone = kept_alone.records_[i];
    EXPECT_EQ(*row.perplexity, *row_alone.perplexity);
    EXPECT_EQ(row.memory->pool_used_peak_bytes, row_alone.memory->pool_used_peak_bytes);
    EXPECT_EQ(row.memory->workspace_bytes, row_alone.memory->workspace_bytes);
  }
}

TEST(RunSweep, RefusesBeforeAnythingIsMeasured) {
  SweepEars ears;
  Grid grid = small();
  grid.models.emplace_back("nosuch");
  testing_support::expect_invalid([&] { Sweep(grid, ears); }, "nosuch");
  grid = small();
  grid.base.memory_limit = 1000;
  testing_support::expect_throw<OutOfMemory>([&] { Sweep(grid, ears).expect_some_fit(); },
                                             "--memory-limit");
}

TEST(RunSweep, GoesOnBesideWhatCannotBePlanned) {
  SweepEars ears;
  Keep keep;
  Grid grid = small();
  grid.models = {"nosuch", "tiny-llama"};
  grid.policies = {"baseline", "snapkv_8"};
  Sweep sweep(grid, ears, Unplanned::kFailsRow);
  EXPECT_EQ(sweep.keys().size(), 4U) << "of the model that is there";
  const Sweep::Outcome outcome = sweep.run({"kvgauge"}, keep);
  EXPECT_EQ(outcome.measured, 8U);
  EXPECT_EQ(outcome.failed, 6U);
  EXPECT_EQ(ears.total_, 8U);
  EXPECT_EQ(ears.loads_, 1);
  ASSERT_EQ(keep.records_.size(), 8U);
  EXPECT_EQ(keep.records_[0].model, "nosuch");
  EXPECT_EQ(keep.records_[1].budget_requested, "") << "its spec is refused in steps";
  EXPECT_EQ(keep.records_[4].status, Status::kOk);
  EXPECT_TRUE(keep.records_[5].error.starts_with("policy snapkv cuts after a prompt"));
}

}  // namespace
}  // namespace kvg::harness
