// Sweeps as a user meets them: resumed, interrupted, killed.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/harness/sweep_fixture.h"

namespace kvg::harness {
namespace {

// 2 x 2 x 3 cells of a few milliseconds each.
constexpr const char* kGrid = R"({"models": ["tiny-llama", "tiny-neox"],
    "policies": ["streaming_8", "baseline", "int8"], "protocol": "split", "max_tokens": [16, 24],
    "num_samples": 1, "warmup": 0, "device": "cpu", "threads": 1})";
constexpr std::size_t kCells = 12;

TEST_F(SweepProgram, MeasuresEveryCellInOrder) {
  write("g.json", kGrid);
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --json a.json --csv a.csv"), 0) << err_;
  const auto records = lines("a.jsonl");
  ASSERT_EQ(records.size(), kCells);
  std::size_t at = 0;
  for (const char* model : {"tiny-llama", "tiny-neox"}) {
    for (const int tokens : {16, 24}) {
      for (const char* method : {"baseline", "streaming_8", "int8"}) {
        EXPECT_EQ(records[at].at("model"), model);
        EXPECT_EQ(records[at].at("settings").at("max_tokens"), tokens);
        EXPECT_EQ(records[at].at("method"), method);
        EXPECT_EQ(records[at].at("status"), "ok") << records[at].at("error");
        ++at;
      }
    }
  }
  const Json whole = Json::parse(read("a.json"));
  EXPECT_EQ(whole.at("records").size(), kCells);
  EXPECT_TRUE(whole.at("environment").at("weights").is_null());
  EXPECT_EQ(count_lines("a.csv"), kCells + 1);
  EXPECT_NE(out_.find("tiny-neox | persuasion | split | cpu | max-tokens 24\n"), std::string::npos)
      << out_;
  EXPECT_TRUE(err_.starts_with("0 of 12 cells\n1 of 12 cells, ")) << err_;
  EXPECT_NE(err_.find("\n12 of 12 cells, "), std::string::npos) << err_;
}

TEST_F(SweepProgram, SkipsWhatIsFinishedAndNothingElse) {
  write("g.json", kGrid);
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --csv a.csv"), 0) << err_;
  const std::string all = read("a.jsonl");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --json b.json --csv b.csv"), 0) << err_;
  EXPECT_EQ(read("a.jsonl"), all);
  EXPECT_EQ(err_, "12 of 12 cells\n");
  EXPECT_EQ(Json::parse(read("b.json")).at("records").size(), kCells);
  EXPECT_EQ(read("b.csv"), read("a.csv")) << "rows that were recalled read as those measured";
  for (const char* other : {R"("seed": 1)", R"("warmup": 1)", R"("prefill": 9)"}) {
    const std::string grid =
        R"({"models": "tiny-llama", "policies": "baseline", "protocol": "split",
        "max_tokens": 16, "num_samples": 1, "device": "cpu", "threads": 1, )" +
        std::string(std::string_view(other).starts_with("\"warmup") ? "" : R"("warmup": 0, )") +
        other + "}";
    const auto before = count_lines("a.jsonl");
    write("other.json", grid);
    ASSERT_EQ(run("sweep other.json --jsonl a.jsonl"), 0) << err_;
    EXPECT_EQ(count_lines("a.jsonl"), before + 1) << other;
    ASSERT_EQ(run("sweep other.json --jsonl a.jsonl"), 0) << err_;
    EXPECT_EQ(count_lines("a.jsonl"), before + 1) << other;
  }
}

TEST_F(SweepProgram, TriesAFailedCellAgainInItsPlace) {
  constexpr std::string_view kLimited = R"({"policies": ["baseline", "streaming_16"],
      "max_tokens": 600, "num_samples": 1, "warmup": 0, "device": "cpu")";
  write("g.json", std::string(kLimited) + R"(, "memory_limit": "16MB"})");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl"), 3) << err_;
  auto records = lines("a.jsonl");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].at("status"), "failed");
  EXPECT_EQ(records[1].at("status"), "ok");
  EXPECT_EQ(run("sweep g.json --jsonl a.jsonl"), 3) << "still too little";
  EXPECT_EQ(lines("a.jsonl").size(), 2U);
  write("g.json", std::string(kLimited) + "}");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --json a.json"), 0) << err_;
  const auto again = lines("a.jsonl");
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(again[0].at("method"), "baseline");
  EXPECT_EQ(again[0].at("status"), "ok");
  EXPECT_EQ(again[1], records[1]) << "was not measured again";
  EXPECT_EQ(Json::parse(read("a.json")).at("records").size(), 2U);
}

TEST_F(SweepProgram, ACellThatCannotBePlannedIsAFailedRow) {
  write("g.json", R"({"models": ["tiny-llama", "nosuch"], "datasets": ["persuasion", "mine.txt"],
      "policies": ["baseline", "snapkv_8", "nosuch_8"], "max_tokens": 16, "num_samples": 1,
      "warmup": 0, "device": "cpu"})");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --json a.json --csv a.csv"), 3) << err_;
  const auto records = lines("a.jsonl");
  ASSERT_EQ(records.size(), 12U);
  const auto expect = [&records](std::size_t at, const char* method, const std::string& error) {
    EXPECT_EQ(records[at].at("method"), method) << at;
    EXPECT_EQ(records[at].at("status"), error.empty() ? "ok" : "failed") << at;
    if (!error.empty()) {
      EXPECT_NE(records[at].at("error").get<std::string>().find(error), std::string::npos)
          << records[at].at("error");
    }
  };
  expect(0, "baseline", "");
  expect(1, "snapkv_8", "allowed in the protocols that have one: split, speed, task");
  expect(2, "nosuch_8", "no policy named \"nosuch_8\"");
  for (const std::size_t first : {3U, 6U, 9U}) {
    const std::string error = first == 3 ? "\"mine.txt\" is neither" : "model \"nosuch\"";
    expect(first, "baseline", error);
    expect(first + 1, "snapkv_8", error);
    expect(first + 2, "nosuch_8", error);
  }
  EXPECT_EQ(records[9].at("dataset"), "mine.txt");
  EXPECT_TRUE(records[9].at("weights_sha256").is_null());
  EXPECT_EQ(Json::parse(read("a.json")).at("records").size(), 12U);
  EXPECT_EQ(count_lines("a.csv"), 13);
  EXPECT_TRUE(err_.ends_with("\n") && err_.find("12 of 12 cells") != std::string::npos) << err_;
  EXPECT_EQ(run("sweep g.json --jsonl a.jsonl"), 3);
  EXPECT_EQ(lines("a.jsonl").size(), 12U) << "tried again in their places";
  write("mine.txt", std::string(99, 'a') + " few words of mine, and then some more of them\n");
  EXPECT_EQ(run("sweep g.json --jsonl a.jsonl"), 3);
  const auto again = lines("a.jsonl");
  ASSERT_EQ(again.size(), 12U);
  EXPECT_EQ(again[0], records[0]);
  EXPECT_EQ(again[3].at("dataset"), "mine.txt");
  EXPECT_EQ(again[3].at("status"), "ok") << "it was unknown, and has the place that it failed in";
  EXPECT_EQ(run("report a.jsonl"), 0) << err_;
}

TEST_F(SweepProgram, AContextBeyondWhatThereIsIsAFailedRow) {
  write("g.json", R"({"datasets": ["niah", "passkey"], "policies": "baseline", "depths": 50,
      "contexts": [20, 200], "num_samples": 1, "warmup": 0, "device": "cpu"})");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl"), 3) << err_;
  const auto records = lines("a.jsonl");
  ASSERT_EQ(records.size(), 4U);
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_EQ(records[i].at("context"), 20);
    EXPECT_EQ(records[i].at("query"), "aware");
    EXPECT_NE(records[i].at("error").get<std::string>().find("--context 20 is too short"),
              std::string::npos);
    EXPECT_EQ(records[i + 1].at("context"), 200);
    EXPECT_EQ(records[i + 1].at("status"), "ok");
  }
}

TEST_F(SweepProgram, ChoicesThatDoNotGoTogetherAreAFailedRow) {
  write("g.json", R"({"policies": "baseline", "protocol": "split", "max_tokens": [16, 40],
      "prefill": 20, "num_samples": 1, "warmup": 0, "device": "cpu"})");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl"), 3) << err_;
  const auto records = lines("a.jsonl");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].at("error"),
            "--prefill 20 leaves nothing to score; allowed: 1 to --max-tokens - 1, here 15");
  EXPECT_EQ(records[1].at("status"), "ok");
  ASSERT_EQ(run("sweep g.json --dry-run"), 0) << err_;
  EXPECT_NE(out_.find("baseline  cannot be run: --prefill 20 leaves"), std::string::npos) << out_;
}

TEST_F(SweepProgram, RepeatsItselfForASeed) {
  write("g.json", R"({"models": ["tiny-llama"], "datasets": ["niah", "passkey"], "contexts": 240,
      "policies": ["baseline", "snapkv_48", "random_32", "kivi2"], "num_samples": 1,
      "depths": [0, 50], "warmup": 1, "device": "cpu", "threads": 2, "seed": 5})");
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl"), 0) << err_;
  ASSERT_EQ(run("sweep g.json --jsonl b.jsonl"), 0) << err_;
  const auto first = lines("a.jsonl");
  const auto second = lines("b.jsonl");
  ASSERT_EQ(first.size(), 8U);
  ASSERT_EQ(second.size(), 8U);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(lasting(first[i]), lasting(second[i]));
  }
}

TEST_F(SweepProgram, MeasuresACellOnce) {
  write("g.yaml",
        "policies: [streaming_8, baseline, 'streaming:budget=8']\nmax_tokens: 16\n"
        "num_samples: 1\ndevice: cpu\n");
  ASSERT_EQ(run("sweep g.yaml --jsonl a.jsonl"), 0) << err_;
  EXPECT_EQ(lines("a.jsonl").size(), 2U);
  EXPECT_TRUE(
      err_.starts_with("warning: left out: policy streaming:budget=8 on dataset persuasion "
                       "is there more than once\n"))
      << err_;
}

TEST_F(SweepProgram, EndsAfterTheCellAtCtrlCAndGoesOn) {
  write("g.json", R"({"policies": ["baseline", "streaming_8-15"], "max_tokens": 400,
                      "num_samples": 1, "warmup": 0, "device": "cpu"})");
  const pid_t child = start("g.json", "a");
  ASSERT_TRUE(wait_for_lines(child, "a.jsonl", 1));
  end(child, SIGINT);
  ASSERT_TRUE(WIFEXITED(status_));
  EXPECT_EQ(WEXITSTATUS(status_), 130);
  EXPECT_NE(read("child.txt").find("kvgauge: ending after this row"), std::string::npos);
  EXPECT_NE(read("child.txt").find("rows are left, the same command measures them"),
            std::string::npos);
  const auto partial = lines("a.jsonl");
  ASSERT_LT(partial.size(), 9U);
  EXPECT_EQ(Json::parse(read("a.json")).at("records").size(), partial.size());
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl"), 0) << err_;
  const auto all = lines("a.jsonl");
  ASSERT_EQ(all.size(), 9U);
  EXPECT_TRUE(std::equal(partial.begin(), partial.end(), all.begin()));
}

TEST_F(SweepProgram, EndsAtOnceAtTheSecondCtrlC) {
  // Long enough a cell for a second signal to fall into it.
  write("g.json", R"({"policies": ["streaming_8", "baseline"], "max_tokens": 8000, "warmup": 0,
                      "device": "cpu", "num_samples": 9})");
  const pid_t child = start("g.json", "a");
  // The table's heading comes with its first row's beginning.
  while (read("child.txt").find("OfBound") == std::string::npos) {
    ASSERT_EQ(::waitpid(child, &status_, WNOHANG), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(child, SIGINT);
  while (read("child.txt").find("once more to end at once") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  end(child, SIGINT);
  ASSERT_TRUE(WIFSIGNALED(status_));
  EXPECT_EQ(WTERMSIG(status_), SIGINT);
}

TEST_F(SweepProgram, RefusesInOneLine) {
  const auto refused = [this](const std::string& arguments, const std::string& part) {
    EXPECT_EQ(run("sweep " + arguments), 1) << arguments;
    EXPECT_NE(err_.find(part), std::string::npos) << err_;
    EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
    EXPECT_EQ(out_, "") << arguments;
  };
  refused("", "sweep needs a file that describes the grid; see kvgauge sweep --help");
  refused("nosuch.json", "sweep file nosuch.json: it cannot be read");
  write("g.json", "{\"seed\":");
  refused("g.json", "sweep file g.json: it is no JSON");
  write("g.json", R"({"batches": [1, 2]})");
  refused("g.json", "--batch means nothing to protocol stream");
  write("g.json", R"({"protocol": "nosuch"})");
  refused("g.json", "no protocol named \"nosuch\"");
  write("g.json", R"({"device": "cuda:99"})");
  refused("g.json", "cuda:99");
  write("g.json", R"({"policies": "suite:nosuch"})");
  refused("g.json", "no suite named \"nosuch\"");
  write("g.json", R"({"policies": "baseline", "max_tokens": 16, "device": "cpu"})");
  write("a.jsonl", "{}\nnot mine\n");
  refused("g.json --jsonl a.jsonl", "line 2 of ");
}

}  // namespace
}  // namespace kvg::harness
