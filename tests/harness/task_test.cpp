// Tasks through the shipped models: what a policy keeps is what it answers.

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/session.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;

struct Kept {
  std::vector<TableInfo> tables;
  std::vector<Record> records;
};

class Keep final : public Reporter {
 public:
  explicit Keep(Kept& kept) : kept_(kept) {}
  void begin_table(const TableInfo& table) override { kept_.tables.push_back(table); }
  void add(const Record& record) override { kept_.records.push_back(record); }

 private:
  Kept& kept_;
};

class Silent final : public Listener {
 public:
  void warn(const std::string& line) override { ADD_FAILURE() << line; }
  void progress(std::string_view /*what*/, std::size_t /*done*/, std::size_t /*total*/) override {}
  void idle() override {}
};

Kept run(const Experiment& experiment) {
  Silent ears;
  Session session(experiment, ears);
  Kept kept;
  Keep keep(kept);
  session.run({"kvgauge", "run"}, keep);
  for (const Record& record : kept.records) {
    EXPECT_EQ(record.status, Status::kOk) << record.error;
  }
  return kept;
}

Experiment asking(const std::string& dataset) {
  Experiment experiment;
  experiment.device = KVG_TEST_DEVICE;
  experiment.protocol = "task";
  experiment.datasets = {dataset};
  experiment.policies = {"baseline"};
  experiment.contexts = {500};
  experiment.depths = {0, 50};
  experiment.num_samples = 1;
  experiment.warmup = 0;
  return experiment;
}

std::map<std::string, double> accuracies(const Experiment& experiment) {
  std::map<std::string, double> result;
  for (const Record& record : run(experiment).records) {
    result[record.method] = *record.accuracy;
  }
  return result;
}

// The needle lies 200 tokens and more before the end, beyond what a window of 128 keeps.
TEST(Task, PoliciesAnswerWhatTheyKept) {
  Experiment experiment = asking("niah");
  experiment.policies = {"baseline,window_128,streaming_128,h2o_256,snapkv_256,int8"};
  for (const char* query : {"aware", "agnostic"}) {
    experiment.query = query;
    const std::map<std::string, double> right = accuracies(experiment);
    EXPECT_EQ(right.at("baseline"), 1.0) << query;
    EXPECT_EQ(right.at("int8"), 1.0) << query;
    EXPECT_EQ(right.at("window_128"), 0.0) << query;
    EXPECT_EQ(right.at("streaming_128"), 0.0) << query;
    EXPECT_LE(right.at("h2o_256"), 1.0) << query;
  }
}

TEST(Task, BothModelsFindNeedlesAndKeys) {
  for (const char* model : {"tiny-llama", "tiny-neox"}) {
    for (const char* dataset : {"niah", "passkey"}) {
      Experiment experiment = asking(dataset);
      experiment.model = model;
      EXPECT_EQ(accuracies(experiment).at("baseline"), 1.0) << model << " " << dataset;
    }
  }
}

TEST(Task, RecordsTellWhatWasAsked) {
  Experiment experiment = asking("passkey");
  experiment.contexts = {200, 300};
  experiment.query = "agnostic";
  experiment.num_samples = 2;
  const Kept kept = run(experiment);
  ASSERT_EQ(kept.records.size(), 2U);
  EXPECT_TRUE(kept.tables.front().asks);
  const nlohmann::json record = to_json(kept.records.at(1));
  EXPECT_EQ(record.at("dataset"), "passkey");
  EXPECT_EQ(record.at("context"), 300);
  EXPECT_EQ(record.at("query"), "agnostic");
  EXPECT_EQ(record.at("settings").at("depth"), "0,50");
  EXPECT_EQ(record.at("worst_task"), "passkey");
  EXPECT_EQ(record.at("worst_task_accuracy"), record.at("accuracy"));
  EXPECT_LE(record.at("accuracy_low"), record.at("accuracy"));
  EXPECT_GE(record.at("accuracy_high"), record.at("accuracy"));
  EXPECT_EQ(record.at("perplexity"), nullptr);
  EXPECT_EQ(record.at("eval_tokens"), 4 * 16);
  ASSERT_EQ(record.at("samples").size(), 4U);
  const nlohmann::json& sample = record.at("samples").at(3);
  EXPECT_EQ(sample.at("task"), "passkey");
  EXPECT_EQ(sample.at("depth"), 50);
  EXPECT_EQ(sample.at("prompt_sha256").get<std::string>().size(), 64U);
  EXPECT_NE(sample.at("text"), "");
  EXPECT_EQ(sample.at("score"), 1.0);
  EXPECT_LE(sample.at("tokens"), 300 + 16);
  // The cut came before the question, which has more than 5 tokens.
  EXPECT_LT(record.at("kept_entries").at("max"), 300 - 5);
}

TEST(Task, TheQuestionIsPartOfThePromptWhenTheCutHasSeenIt) {
  Experiment experiment = asking("niah");
  const Record aware = run(experiment).records.front();
  experiment.query = "agnostic";
  const Record agnostic = run(experiment).records.front();
  EXPECT_GT(aware.kept_entries->max, agnostic.kept_entries->max);
  EXPECT_EQ(aware.samples.front().answer->prompt_sha256,
            agnostic.samples.front().answer->prompt_sha256);
  // Nothing is cut, so the order of feeding changes no answer.
  EXPECT_EQ(aware.samples.front().answer->text, agnostic.samples.front().answer->text);
}

TEST(Task, AllTasksHaveTheirMeanAndTheWorst) {
  Experiment experiment = asking("tasks");
  experiment.contexts = {900};
  experiment.depths = {50};
  const Record record = run(experiment).records.front();
  ASSERT_EQ(record.samples.size(), 10U);
  double sum = 0.0;
  double worst = 1.0;
  for (const Sample& sample : record.samples) {
    sum += sample.answer->score;
    worst = std::min(worst, sample.answer->score);
  }
  EXPECT_DOUBLE_EQ(*record.accuracy, sum / 10.0);
  EXPECT_EQ(*record.worst_task_accuracy, worst);
  EXPECT_FALSE(record.worst_task.empty());
  EXPECT_FALSE(record.accuracy_low) << "one answer a task says nothing of how answers vary";
  EXPECT_FALSE(record.accuracy_high);
}

TEST(Task, RefusesWhatItCannotAsk) {
  const auto refuse = [](const auto& change, const char* part) {
    Experiment experiment = asking("niah");
    change(experiment);
    expect_invalid([&experiment] { static_cast<void>(run(experiment)); }, part);
  };
  refuse([](Experiment& e) { e.datasets = {"persuasion"}; }, "\"persuasion\" is no task; known: ");
  refuse([](Experiment& e) { e.query = "both"; }, "--query both is unknown; allowed: aware");
  refuse([](Experiment& e) { e.contexts = {20}; }, "--context 20 is too short for niah");
  refuse([](Experiment& e) { e.model = "synthetic:pythia-70m"; }, "a synthetic model has no tok");
  refuse([](Experiment& e) { e.protocol = "split"; }, "--context means nothing to protocol split");
  refuse([](Experiment& e) { e.max_tokens = 100; }, "--max-tokens means nothing to protocol task");
}

}  // namespace
}  // namespace kvg::harness
