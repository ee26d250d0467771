// The program as a user meets it: exit codes, what it says, what it writes.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/harness/program_fixture.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Program : public ProgramFixture {
 protected:
  void expect_refused(const std::string& arguments, const std::string& part) {
    EXPECT_EQ(run(arguments), 1) << arguments;
    EXPECT_NE(err_.find(part), std::string::npos) << arguments << "\n" << err_;
    EXPECT_LE(std::ranges::count(err_, '\n'), 6) << err_;
    EXPECT_EQ(out_, "") << arguments;
  }
};

constexpr const char* kSmall = "run --device cpu --max-tokens 24 --num-samples 1 --warmup 1 ";

TEST_F(Program, PrintsTheTableAndWritesEveryFile) {
  ASSERT_EQ(run(std::string(kSmall) + "--policy baseline,streaming_16 --csv a.csv --json a.json "
                                      "--jsonl a.jsonl"),
            0)
      << err_;
  EXPECT_EQ(err_, "");
  EXPECT_TRUE(out_.starts_with("tiny-llama | persuasion | stream | cpu\nMethod ")) << out_;
  EXPECT_EQ(std::ranges::count(out_, '\n'), 4) << out_;
  const json document = json::parse(read("a.json"));
  ASSERT_EQ(document.at("records").size(), 2U);
  EXPECT_EQ(document.at("records").at(1).at("eval_tokens"), 23);
  EXPECT_EQ(document.at("environment").at("weights").at("name"), "tiny-llama");
  const std::string lines = read("a.jsonl");
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2);
  const std::string csv = read("a.csv");
  EXPECT_EQ(std::ranges::count(csv, '\n'), 3);
}

TEST_F(Program, AppendsToJsonl) {
  write("a.jsonl", "{}\n");
  ASSERT_EQ(run(std::string(kSmall) + "--policy baseline --jsonl a.jsonl"), 0) << err_;
  const std::string lines = read("a.jsonl");
  EXPECT_TRUE(lines.starts_with("{}\n{\"schema\""));
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2);
}

TEST_F(Program, EndsWithThreeWhenSomeRowsFail) {
  EXPECT_EQ(run("run --device cpu --max-tokens 600 --num-samples 1 --warmup 0 "
                "--policy baseline,streaming_16 --memory-limit 16MB --json a.json"),
            3)
      << err_;
  EXPECT_NE(out_.find("failed: policy baseline needs "), std::string::npos) << out_;
  const json records = json::parse(read("a.json")).at("records");
  EXPECT_EQ(records.at(0).at("status"), "failed");
  EXPECT_EQ(records.at(1).at("status"), "ok");
}

TEST_F(Program, RefusesBadFlags) {
  expect_refused("run --max-tokens 0", "--max-tokens 0 is out of range; allowed: 2 to 4194304");
  expect_refused("run --num-samples -3", "--num-samples -3 is out of range; allowed: 1 to");
  expect_refused("run --batch 2", "--batch means nothing to protocol stream");
  expect_refused("run --protocol speed --batch auto", "auto means nothing to protocol speed");
  expect_refused("run --threads two", "--threads two is no whole number");
  expect_refused("run --seed -1", "--seed -1 is no whole number in range; allowed: 0 to");
  expect_refused("run --policy nosuch", "no policy named \"nosuch\"; known: baseline, window");
  expect_refused("run --policy streaming:budget=0", "budget=0 is not allowed");
  expect_refused("run --protocol swim", "known: stream, split, speed, score, task");
  expect_refused("run --progress maybe", "allowed: auto, on, off");
  expect_refused("run --dtype f8", "known: auto, f32, f16, bf16");
  expect_refused("run --device cpu --dtype bf16", "not supported on the cpu");
  expect_refused("run --device tpu", "tpu");
  expect_refused("run --memory-limit lots", "such as 8GiB");
  expect_refused("run --nosuch", "--nosuch");
  expect_refused("run --dry-run --csv a.csv", "--dry-run measures nothing");
  expect_refused("run --csv a --json a", "two outputs cannot share the file a");
  expect_refused("run --csv a --json ./a", "two outputs cannot share the file ./a");
  expect_refused("run --csv ''", "cannot write to a file without a name");
  expect_refused("run --memory-limit ''", "such as 8GiB");
  expect_refused("list nosuch", "known: policies, codecs, models, datasets, conventions, devices");
}

// A model of 15 GB whose weights nobody waits for.
TEST_F(Program, RefusesBadSpecsBeforeAnyModelIsLoaded) {
  struct Bad {
    std::string arguments;
    std::string part;
  };
  const std::string pairs = "; pairs that have one: f32/f32, f16/f16, ";
  const std::vector<Bad> bad{
      {"--policy streaming:budget=0", "policy streaming: budget=0 is not allowed; budget is a "},
      {"--policy streaming:budget=3,sinks=4", "budget=3 is below sinks=4; allowed: from 4"},
      {"--policy int4:group=48", "group=48 does not divide keys of head_dim 128"},
      {"--policy h2o:keep=1.5", "policy h2o: keep=1.5 is not allowed; keep is a number above 0"},
      {"--policy h2o:keep=0.5", "policy h2o: keep= is a share of the prompt, and here is none"},
      {"--policy streaming_64+kivi2", "but streaming evicts in steps; allowed: baseline and"},
      {"--policy baseline+k=int2,v=fp8", pairs},
      {"--policy baseline+nosuch", "no codec named \"nosuch\"; known: f32, f16, bf16, fp8, int8"},
      {"--policy nosuch+int4", "no policy named \"nosuch\"; known: baseline, window"},
      {"--policy snapkv_64", "policy snapkv cuts after a prompt, and here is none"},
      {"--policy think", "its channels are chosen from a prompt, and here is none"},
      {"--policy suite:nosuch", "no suite named \"nosuch\"; known: suite:eviction, suite:codecs"},
      {"--policy duo:matrix=nosuch", "policy duo: matrix=nosuch cannot be read"},
      {"--policy quest_64+kivi4", "allowed: codecs without entries that wait"},
      {"--policy h2o:budget=8,positions=cache", "policy h2o has no parameter \"positions\""},
      {"--protocol split --policy snapkv:budget=32", "budget=32 is below window + 1"},
      {"--protocol split --prefill 100 --policy streaming:keep=0.03",
       "keep=0.03 of a prompt of 100 tokens is 3, below sinks=4"},
      {"--protocol split --policy adakv:budget=64,decode=evict", "allowed: append"}};
  for (const Bad& each : bad) {
    expect_refused("run --device cpu --model synthetic:llama-3.1-8b " + each.arguments, each.part);
    EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
  }
}

TEST_F(Program, RunsAllThatTheProtocolCarriesAndNamesTheRest) {
  ASSERT_EQ(run(std::string(kSmall) + "--policy all --json a.json"), 0) << err_;
  const json stream = json::parse(read("a.json")).at("records");
  EXPECT_EQ(std::ranges::count(out_, '\n'), 2 + static_cast<std::ptrdiff_t>(stream.size())) << out_;
  for (const char* method : {"snapkv",
                             "pyramidkv",
                             "adakv",
                             "knorm",
                             "keydiff",
                             "lagkv",
                             "expected",
                             "observed",
                             "chunkkv",
                             "criticalkv"}) {
    const std::string line = "warning: left out: policy " + std::string(method) +
                             " cuts after a prompt, and here is none";
    EXPECT_NE(err_.find(line), std::string::npos) << method << "\n" << err_;
  }
  EXPECT_NE(err_.find("warning: left out: policy baseline+think"), std::string::npos) << err_;
  EXPECT_EQ(std::ranges::count(err_, '\n'), 12) << err_;
  ASSERT_EQ(run(std::string(kSmall) + "--protocol split --policy all --json a.json"), 0) << err_;
  EXPECT_TRUE(err_.starts_with("warning: left out: policy duo needs matrix=, ")) << err_;
  EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
  EXPECT_EQ(json::parse(read("a.json")).at("records").size(), stream.size() + 11);
  for (const json& record : stream) {
    EXPECT_EQ(record.at("status"), "ok") << record;
    EXPECT_GT(record.at("perplexity"), 1.0) << record;
    EXPECT_GT(record.at("bits_per_element"), 1.0) << record;
  }
}

TEST_F(Program, RunsASuite) {
  ASSERT_EQ(run(std::string(kSmall) + "--policy suite:quick --policy window_4 --csv a.csv"), 0);
  EXPECT_EQ(err_,
            "warning: left out: policy snapkv cuts after a prompt, and here is none; allowed "
            "in the protocols that have one: split, speed, task\n");
  const std::string csv = read("a.csv");
  EXPECT_NE(csv.find("\nbaseline,"), std::string::npos) << csv;
  EXPECT_NE(csv.find("\nkivi2,"), std::string::npos) << csv;
  EXPECT_NE(csv.find("\nwindow_4,"), std::string::npos) << csv;
}

TEST_F(Program, TellsWhatIsWrongWithACommandLine) {
  expect_refused("", "no command is given; known: run, sweep, info, list, report, compare\n");
  expect_refused("walk --fast",
                 "no command named \"walk\"; known: run, sweep, info, list, report, compare\n");
  expect_refused("run --seed 1 --seed 2", "--seed is given more than once; see kvgauge run --help");
  expect_refused("list", "list needs policies, codecs, models, datasets, conventions or devices");
  expect_refused("report", "report needs files that --json or --jsonl of run or sweep wrote");
}

TEST_F(Program, SaysNothingBesideTheReasonOfARefusal) {
  std::string texts;
  for (const char* name : {"a.txt", "b.txt", "c.txt"}) {
    write(name, "Some words to be cut into one sample and a rest.");
    texts += std::string("--dataset ") + name + " ";
  }
  ASSERT_EQ(run("run --warmup 0 --max-tokens 8 --num-samples 90 --policy baseline " + texts), 0);
  EXPECT_GE(std::ranges::count(err_, '\n'), 3) << "a warning a text";
  expect_refused("run --max-tokens 8 --num-samples 90 --memory-limit 1KiB " + texts,
                 "of --memory-limit");
  EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
}

TEST_F(Program, AFolderWithoutAModelHidesNoShippedOne) {
  fs::create_directory(folder_ / "tiny-llama");
  EXPECT_EQ(run(std::string(kSmall) + "--policy baseline"), 0) << err_;
  write("tiny-llama/config.json", "{}");
  expect_refused(kSmall, "tiny-llama/config.json: model_type and architectures are missing");
}

TEST_F(Program, FailsWhenTheTableCannotBeWritten) {
  const std::string command =
      "'" KVG_PROGRAM "' list models >/dev/full 2>'" + (folder_ / "stderr.txt").string() + "'";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(read("stderr.txt"), "kvgauge: the standard output could not be written\n");
}

TEST_F(Program, RefusesCudaWhereThereIsNone) {
  if (run("list devices") == 0 && out_.find("cuda:") != std::string::npos) {
    GTEST_SKIP() << "this machine has a CUDA device";
  }
  expect_refused("run --device cuda", "available: cpu");
}

TEST_F(Program, RefusesBadModelsAndTexts) {
  write("latin1.txt", "caf\xe9 au lait");
  write("empty.txt", "");
  expect_refused("run --model nosuch", "tiny-llama");
  expect_refused("run --model synthetic:nosuch", "pythia-2.8b");
  expect_refused("run --dataset nosuch", "persuasion");
  expect_refused("run --dataset latin1.txt", "UTF-8");
  expect_refused("run --dataset empty.txt", "empty");
  expect_refused("run --model synthetic:pythia-2.8b --dataset persuasion", "no tokenizer");
}

TEST_F(Program, FindsAnUnwritablePathBeforeTheRun) {
  expect_refused("run --json nosuch/a.json", "cannot write nosuch/a.json: there is no folder");
  expect_refused("run --csv .", "cannot write .: it is a folder");
  expect_refused("run --jsonl nosuch/a", "cannot write nosuch/a");
}

TEST_F(Program, RefusesWhatNoPolicyFits) {
  expect_refused(std::string(kSmall) + "--memory-limit 1MiB", "of --memory-limit");
}

TEST_F(Program, PredictsWithoutRunning) {
  ASSERT_EQ(run("run --device cpu --dry-run --model synthetic:llama-3.1-8b"), 0) << err_;
  EXPECT_TRUE(out_.starts_with("synthetic:llama-3.1-8b | random | stream | cpu | predicted peak"))
      << out_;
  EXPECT_NE(out_.find("streaming_1024"), std::string::npos);
  EXPECT_EQ(std::ranges::count(out_, '\n'), 6) << out_;
}

TEST_F(Program, PredictsWhatDoesNotFit) {
  ASSERT_EQ(run("run --device cpu --dry-run --model synthetic:llama-3.1-8b --max-tokens 100000 "
                "--num-samples 1 --policy f32,int4 --memory-limit 20GiB"),
            0)
      << err_;
  EXPECT_NE(out_.find("  does not fit\nint4 "), std::string::npos) << out_;
  EXPECT_EQ(out_.find("does not fit", out_.find("\nint4 ")), std::string::npos) << out_;
}

TEST_F(Program, TellsOfItself) {
  EXPECT_EQ(run("--version"), 0);
  EXPECT_TRUE(out_.starts_with("kvgauge 0.")) << out_;
  for (const char* help :
       {"--help", "run --help", "info --help", "list --help", "compare --help"}) {
    EXPECT_EQ(run(help), 0) << help;
    EXPECT_NE(out_.find("Examples:"), std::string::npos) << help;
    EXPECT_NE(out_.find("Usage: kvgauge "), std::string::npos) << out_;
  }
  EXPECT_EQ(run("info --json"), 0);
  EXPECT_EQ(json::parse(out_).at("devices").at(0).at("id"), "cpu");
  EXPECT_EQ(run("info"), 0);
  EXPECT_NE(out_.find("cpu\n"), std::string::npos);
}

TEST_F(Program, ListsWhatARunCanBeGiven) {
  const std::vector<std::pair<std::string, std::string>> expected{
      {"policies", "streaming"},
      {"codecs", "kivi2"},
      {"models", "synthetic:pythia-2.8b"},
      {"datasets", "persuasion"},
      {"devices", "cpu: "}};
  for (const auto& [what, part] : expected) {
    EXPECT_EQ(run("list " + what), 0) << what;
    EXPECT_NE(out_.find(part), std::string::npos) << out_;
  }
}

TEST_F(Program, ListsWhatParametersMayBe) {
  ASSERT_EQ(run("list policies"), 0);
  for (const char* line : {"\n  keep=(0..1], optional: ",
                           "\n  decode=append|evict, default append after a prompt, else evict: ",
                           "\nsnapkv: what the last queries of the prompt attend to; needs a "
                           "prompt: split, speed, task (",
                           "\n  decode=append|evict, default append: ",
                           "\n  matrix=TEXT, required: ",
                           "\n  safeguard=(0..1], default 0.2: "}) {
    EXPECT_NE(out_.find(line), std::string::npos) << line << out_;
  }
  ASSERT_EQ(run("list codecs"), 0);
  for (const char* line : {"\nint4: 4-bit integers\n  group=0..256, default 32: ",
                           "\nthink: keys without their least wanted channels; needs a prompt",
                           "pairs of keys/values: f32/f32, f16/f16, "}) {
    EXPECT_NE(out_.find(line), std::string::npos) << line << out_;
  }
}

TEST_F(Program, AsksATaskByItsName) {
  ASSERT_EQ(run("run --device cpu --dataset passkey --context 150,200 --depth 0-100+50 "
                "--num-samples 1 --policy baseline,window_16 --query agnostic --warmup 0 "
                "--jsonl a.jsonl"),
            0)
      << err_;
  EXPECT_TRUE(out_.starts_with("tiny-llama | passkey | task | cpu\nMethod ")) << out_;
  EXPECT_NE(out_.find("   agnostic        150  "), std::string::npos) << out_;
  EXPECT_NE(out_.find("   agnostic        200  "), std::string::npos) << out_;
  const std::string lines = read("a.jsonl");
  ASSERT_EQ(std::ranges::count(lines, '\n'), 4);
  const json record = json::parse(lines.substr(0, lines.find('\n')));
  ASSERT_EQ(record.at("samples").size(), 3U);
  EXPECT_EQ(record.at("samples").at(1).at("depth"), 50);
  expect_refused("run --context 100", "--context means nothing to protocol stream");
  expect_refused("run --dataset niah --depth 101", "--depth 101 is not understood");
  expect_refused("run --dataset niah --query both", "allowed: aware, agnostic");
}

TEST_F(Program, ShowsProgressOnlyWhenAsked) {
  ASSERT_EQ(run(std::string(kSmall) + "--policy baseline --progress on"), 0);
  EXPECT_NE(err_.find(" %\n"), std::string::npos) << err_;
  ASSERT_EQ(run(std::string(kSmall) + "--policy baseline --progress off"), 0);
  EXPECT_EQ(err_, "");
}

TEST_F(Program, ReportRendersARunAsMarkdown) {
  ASSERT_EQ(run("run --max-tokens 20 --num-samples 1 --policy baseline,window_8 --json run.json"),
            0);
  ASSERT_EQ(run("report run.json"), 0);
  EXPECT_NE(
      out_.find(
          "**tiny-llama, persuasion, stream, cpu, f32**\n\n"
          "| Method | TTFT(s) | TPOT(s) | Thruput | PPL | dNLL | +- | KL | KL-p99 | Top1 | Acc | "
          "Mem(GB) | Cache | OfBound |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | "
          "---: | ---: |\n"
          "| baseline | "),
      std::string::npos)
      << out_;
  EXPECT_NE(out_.find("| window_8 | "), std::string::npos);
  EXPECT_NE(out_.find(" | 8 | "), std::string::npos) << "entries kept by the window";
  EXPECT_NE(out_.find("kvgauge run --max-tokens 20"), std::string::npos);
}

TEST_F(Program, ReportRefusesWhatIsNoRun) {
  write("other.json", "{\"schema\": \"other/1\"}");
  write("broken.json", "{");
  expect_refused("report missing.json", "run file missing.json cannot be read");
  for (const char* file : {"other.json", "broken.json"}) {
    expect_refused(std::string("report ") + file,
                   "is no run that `kvgauge run --json` or --jsonl wrote");
  }
}

}  // namespace
}  // namespace kvg::harness
