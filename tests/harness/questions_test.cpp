// Files of questions and perplexity conventions, as workloads and through the shipped models.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/json_document.h"
#include "harness/session.h"
#include "harness/workload.h"
#include "model/tokenizer.h"
#include "tests/harness/session_ears.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;

using testing_support::expect_invalid;

class Questions : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("kvg_") + KVG_TEST_DEVICE +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return (folder_ / name).string();
  }

  Experiment asking(const std::string& file) {
    Experiment experiment;
    experiment.device = KVG_TEST_DEVICE;
    experiment.protocol = "task";
    experiment.datasets = {file};
    experiment.policies = {"baseline"};
    experiment.warmup = 0;
    return experiment;
  }

  Record run(const Experiment& experiment) {
    Session session(experiment, ears_);
    Keep kept;
    session.run({"kvgauge", "run"}, kept);
    EXPECT_EQ(kept.records_.front().status, Status::kOk) << kept.records_.front().error;
    return kept.records_.front();
  }

  std::vector<Workload> cut(const Experiment& experiment) {
    check(experiment);
    return make_workloads(experiment,
                          model::find_model(experiment.model, experiment.seed),
                          [this](const std::string& line) { ears_.warnings_.push_back(line); });
  }

  fs::path folder_;
  Ears ears_;
};

// A needle as the models were trained on, in a file of RULER's.
constexpr const char* kNeedle =
    R"({"index": 0, "input": "A special magic number is hidden within the following text. Make )"
    R"(sure to memorize it. I will quiz you about the number afterwards.\nIt was a fine day. One of )"
    R"(the special magic numbers for apple is: 7654321.\nThe ship left the harbour at noon.\nWhat is )"
    R"(the special magic number for apple mentioned in the provided text? The special magic number )"
    R"(for apple mentioned in the provided text is", "outputs": ["7654321"], "length": 120})";

TEST_F(Questions, OfRulerAreAnsweredAndScored) {
  const Record record = run(asking(write("niah_single_1.jsonl", kNeedle)));
  EXPECT_EQ(record.accuracy, 1.0);
  EXPECT_EQ(record.accuracy_norm, std::nullopt);
  EXPECT_EQ(record.truncated_samples, 0);
  EXPECT_EQ(record.context, 2048 - 128);
  const nlohmann::json sample = to_json(record).at("samples").at(0);
  EXPECT_EQ(sample.at("task"), "niah_single_1");
  EXPECT_EQ(sample.at("metric"), "string_match_all");
  EXPECT_EQ(sample.at("depth"), nullptr);
  EXPECT_EQ(sample.at("removed_tokens"), 0);
  EXPECT_EQ(sample.at("score"), 1.0);
  const nlohmann::json settings = to_json(record).at("settings");
  EXPECT_EQ(settings.at("num_samples"), "all");
  EXPECT_EQ(settings.at("depth"), nullptr);
  EXPECT_TRUE(ears_.warnings_.empty());
}

TEST_F(Questions, EndWhereTheModelEndsItsText) {
  Experiment experiment = asking(write("niah.jsonl", kNeedle));
  const Record full = run(experiment);
  const std::string text = full.samples.front().answer->text;
  // A copy of the model whose text ends with the first token that the answer has after its number.
  const fs::path model = folder_ / "model";
  fs::copy(model::find_model("tiny-llama", 0).folder, model);
  Experiment stopped = experiment;
  stopped.model = model.string();
  auto workloads = cut(stopped);
  const auto tokenizer = model::load_tokenizer(model);
  const std::vector<std::int32_t> answer = tokenizer->encode(text);
  ASSERT_GT(answer.size(), 12U);
  std::ofstream(model / "generation_config.json")
      << nlohmann::json{{"eos_token_id", {answer.at(12), 4000}}};
  const Record record = run(stopped);
  const Answer& shorter = *record.samples.front().answer;
  EXPECT_LT(shorter.text.size(), text.size());
  EXPECT_TRUE(text.starts_with(shorter.text)) << shorter.text << " | " << text;
  // The stop is generated, and no part of the answer.
  EXPECT_LT(record.eval_tokens, full.eval_tokens);
  EXPECT_EQ(record.eval_tokens,
            static_cast<std::int64_t>(record.samples.front().step_times.size()) + 1);
}

TEST_F(Questions, TooLongLoseTheirMiddle) {
  std::string words;
  for (int i = 0; i < 400; ++i) {
    words += "word" + std::to_string(i) + " ";
  }
  const std::string file =
      write("mine.jsonl",
            nlohmann::json{{"context", words}, {"input", "Which?"}, {"answers", {"none"}}}.dump());
  Experiment experiment = asking(file);
  experiment.contexts = {4000, 101};
  const auto workloads = cut(experiment);
  ASSERT_EQ(workloads.size(), 2U);
  const auto& whole = workloads[0].samples.at(0);
  const auto& rest = workloads[1].samples.at(0);
  ASSERT_GT(whole.size(), 1000U);
  ASSERT_EQ(rest.size(), 101U);
  EXPECT_TRUE(std::equal(rest.begin(), rest.begin() + 51, whole.begin()));
  EXPECT_TRUE(std::equal(rest.end() - 50, rest.end(), whole.end() - 50));
  const std::size_t question = whole.size() - workloads[0].questions.at(0).context_tokens;
  EXPECT_EQ(workloads[1].questions.at(0).context_tokens, 101 - question);
  EXPECT_EQ(workloads[1].questions.at(0).grade({}).removed_tokens,
            static_cast<std::int32_t>(whole.size()) - 101);
  ASSERT_FALSE(ears_.warnings_.empty());
  EXPECT_NE(
      ears_.warnings_.front().find("1 of 1 prompts are longer than 101 tokens; their middles are"),
      std::string::npos);
  experiment.contexts = {101};
  EXPECT_EQ(run(experiment).truncated_samples, 1);
}

TEST_F(Questions, OfHellaSwagTakeTheLikeliestEnding) {
  const std::string file =
      write("hs.jsonl",
            R"({"ctx": "It is a truth universally acknowledged, that", "endings": )"
            R"(["it must be so", "xq zv kj"], "label": 0})"
            "\n"
            R"({"ctx": "She walked to the", "endings": ["#zq vx", "house"], "label": "1"})");
  const Record record = run(asking(file));
  EXPECT_EQ(record.accuracy, 1.0);
  EXPECT_EQ(record.accuracy_norm, 1.0);
  ASSERT_EQ(record.samples.size(), 2U);
  const Answer& first = *record.samples.front().answer;
  ASSERT_EQ(first.log_likelihoods.size(), 2U);
  EXPECT_GT(first.log_likelihoods[0], first.log_likelihoods[1]);
  EXPECT_EQ(first.text, " it must be so");
  EXPECT_EQ(first.metric, "log_likelihood");
  EXPECT_TRUE(record.samples.front().ttft.has_value());
}

// The likelihood of an ending is that of its tokens in the whole text.
TEST_F(Questions, ForeseeAsTheTextIsScored) {
  const std::string prompt = "It was the best of times, it was the worst of";
  const std::string file =
      write("lambada.jsonl", nlohmann::json{{"text", prompt + " times"}}.dump());
  const Record record = run(asking(file));
  const auto& answer = *record.samples.front().answer;
  const auto workloads = cut(asking(file));
  const std::vector<std::int32_t> continuation = workloads[0].questions.at(0).continuations.at(0);
  Experiment text = asking(write("whole.txt", prompt + " times"));
  text.protocol = "split";
  text.prefill = static_cast<std::int32_t>(workloads[0].samples.at(0).size());
  text.num_samples = 1;
  const Record split = run(text);
  EXPECT_EQ(split.eval_tokens, static_cast<std::int64_t>(continuation.size()));
  EXPECT_EQ(answer.log_likelihoods.at(0), -*split.samples.front().nll_sum);
  EXPECT_EQ(answer.score, split.accuracy == 1.0 ? 1.0 : 0.0);
}

TEST_F(Questions, AreRefusedWhatMeansNothingToThem) {
  Experiment experiment = asking(write("niah.jsonl", kNeedle));
  experiment.depths = {50};
  expect_invalid([&] { static_cast<void>(cut(experiment)); }, "--depth means nothing to dataset");
  Experiment nothing = asking("nowhere.jsonl");
  expect_invalid([&] { static_cast<void>(cut(nothing)); }, "is no task; known: tasks, niah, ");
}

class Conventions : public Questions {
 protected:
  Experiment measuring(const std::string& convention) {
    Experiment experiment = asking(write("text.txt", text()));
    experiment.protocol = "stream";
    experiment.convention = convention;
    return experiment;
  }

  static std::string text() {
    std::string text;
    for (int i = 0; i < 30; ++i) {
      text +=
          "She had been forced into prudence in her youth, she learned romance as she grew "
          "older: the natural sequel of an unnatural beginning.\n";
    }
    return text;
  }
};

TEST_F(Conventions, ScoreTheirOwnTokens) {
  const auto whole = cut(measuring("gptq-64"));
  const std::size_t windows = whole[0].samples.size();
  ASSERT_GT(windows, 5U);
  const Record gptq = run(measuring("gptq-64"));
  EXPECT_EQ(gptq.eval_tokens, static_cast<std::int64_t>(windows * 63));
  const Record llama = run(measuring("llama.cpp-64"));
  EXPECT_EQ(llama.eval_tokens, static_cast<std::int64_t>(windows * 31));
  Experiment experiment = measuring("stride-32");
  experiment.max_tokens = 64;
  const Record stride = run(experiment);
  EXPECT_EQ(to_json(stride).at("convention"), "stride-32");
  EXPECT_EQ(to_json(stride).at("settings").at("convention"), "stride-32");
  EXPECT_EQ(to_json(gptq).at("settings").at("max_tokens"), 64);
  EXPECT_EQ(to_json(gptq).at("settings").at("num_samples"), "all");
  // The second half is foreseen from more.
  EXPECT_LT(*llama.perplexity, *gptq.perplexity);
}

TEST_F(Conventions, AreTheSameInOnePass) {
  for (const char* name : {"gptq-64", "llama.cpp-64"}) {
    Experiment experiment = measuring(name);
    experiment.policies = {"window_16"};
    experiment.dtype = "f32";
    const Record stepped = run(experiment);
    experiment.protocol = "score";
    experiment.warmup.reset();
    const Record passed = run(experiment);
    EXPECT_EQ(passed.eval_tokens, stepped.eval_tokens) << name;
    // Products of another shape round otherwise.
    EXPECT_NEAR(*passed.perplexity, *stepped.perplexity, 1e-3 * *stepped.perplexity) << name;
  }
}

TEST_F(Conventions, LlamaCppScoresTheSecondHalfOfWhatGptqFeeds) {
  // Without a BOS both feed the same windows.
  Experiment experiment = measuring("gptq-64");
  experiment.model = "tiny-neox";
  const Record gptq = run(experiment);
  experiment.convention = "llama.cpp-64";
  const Record llama = run(experiment);
  ASSERT_EQ(gptq.samples.size(), llama.samples.size());
  EXPECT_LT(*llama.samples.front().nll_sum, *gptq.samples.front().nll_sum);
  EXPECT_EQ(llama.nll_by_position.front().from, 33);
  double sum = 0.0;
  for (const PositionNll& bin : llama.nll_by_position) {
    sum += bin.nll * (bin.to - bin.from);
  }
  EXPECT_NEAR(std::exp(sum / 31.0), *llama.perplexity, 1e-9 * *llama.perplexity);
}

TEST_F(Conventions, AreRefusedWhereTheyMeanNothing) {
  const auto refuse = [this](const auto& change, const char* part) {
    Experiment experiment = measuring("gptq-64");
    change(experiment);
    expect_invalid([&experiment] { check(experiment); }, part);
  };
  refuse([](Experiment& e) { e.protocol = "split"; }, "--convention means nothing to protocol spl");
  refuse([](Experiment& e) { e.max_tokens = 9; }, "--max-tokens means nothing to --convention gp");
  refuse([](Experiment& e) { e.convention = "gptq"; }, "--convention gptq is unknown; allowed: ");
  refuse(
      [](Experiment& e) {
        e.convention = "stride";
        e.max_tokens = 100;
      },
      "moves by 512 tokens, more than the 100 of --max-tokens");
  refuse(
      [](Experiment& e) {
        e.model = "synthetic:pythia-70m";
        e.datasets.clear();
      },
      "--convention means nothing to --model synthetic:pythia-70m");
  expect_invalid([this] { static_cast<void>(cut(measuring("gptq-100000"))); },
                 "give none of at least 100000");
}

}  // namespace
}  // namespace kvg::harness
