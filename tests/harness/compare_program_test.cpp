// The gate as a build calls it: exit codes and what it says.

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/harness/program_fixture.h"

namespace kvg::harness {
namespace {

using nlohmann::json;

class Gate : public ProgramFixture {
 protected:
  void expect_unusable(const std::string& arguments, const std::string& part) {
    EXPECT_EQ(run(arguments), 2) << arguments;
    EXPECT_NE(err_.find(part), std::string::npos) << arguments << "\n" << err_;
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
    EXPECT_EQ(out_, "") << arguments;
  }

  /// Measures a run into a.json; b.json is the same but for what `change` does to its first record.
  template <typename Change>
  void measure(const Change& change) {
    ASSERT_EQ(run("run --device cpu --max-tokens 24 --num-samples 1 --warmup 1 "
                  "--policy baseline,streaming_16 --json a.json"),
              0)
        << err_;
    json document = json::parse(read("a.json"));
    change(document);
    write("b.json", document.dump());
  }
};

json& first(json& document) {
  return document.at("records").at(0);
}

TEST_F(Gate, ARunHoldsAgainstItself) {
  measure([](json& /*document*/) {});
  EXPECT_EQ(run("compare a.json b.json"), 0) << err_;
  EXPECT_EQ(err_, "");
  EXPECT_TRUE(out_.starts_with("tiny-llama | persuasion | stream | cpu\n")) << out_;
  EXPECT_TRUE(out_.ends_with("\nholds: 2 rows\n")) << out_;
}

TEST_F(Gate, LimitsAreTheFlags) {
  measure([](json& document) {
    json& record = first(document);
    record["perplexity"] = record.at("perplexity").get<double>() * 1.02;
    record["peak_memory_gb"] = record.at("peak_memory_gb").get<double>() * 1.02;
    record["tpot"] = record.at("tpot").get<double>() * 100.0;
    record["accuracy"] = 0.0;
  });
  const std::string loose = "--max-ppl +3% --max-vram +3% --max-tpot +99999% --min-acc -100pt";
  EXPECT_EQ(run("compare a.json b.json " + loose), 0) << out_ << err_;
  for (const char* strict : {"--max-ppl +1%", "--max-vram +1%", "--max-tpot +10%"}) {
    const std::string flag = std::string(strict).substr(0, std::string(strict).find(' '));
    std::string flags = loose;
    const std::size_t at = flags.find(flag);
    flags.replace(at, flags.find('%', at) + 1 - at, strict);
    EXPECT_EQ(run("compare a.json b.json " + flags), 1) << flags << out_ << err_;
  }
  EXPECT_EQ(run("compare a.json b.json"), 1);
  EXPECT_EQ(run("compare a.json b.json --only streaming_16"), 0);
  EXPECT_EQ(run("compare a.json b.json --only baseline"), 1);
}

TEST_F(Gate, ALostPointOfAccuracyIsARegression) {
  measure([](json& document) { first(document)["accuracy"] = 0.5; });
  write("a.json", [this] {
    json document = json::parse(read("a.json"));
    first(document)["accuracy"] = 0.52;
    return document.dump();
  }());
  EXPECT_EQ(run("compare a.json b.json --min-acc -3pt"), 0) << out_;
  EXPECT_EQ(run("compare a.json b.json --min-acc -1pt"), 1);
  EXPECT_EQ(run("compare a.json b.json"), 1);
}

TEST_F(Gate, ARowThatVanishedIsARegression) {
  measure([](json& document) { document.at("records").erase(0); });
  EXPECT_EQ(run("compare a.json b.json"), 1);
  EXPECT_NE(out_.find("baseline: it vanished"), std::string::npos) << out_;
}

TEST_F(Gate, WritesItsFormats) {
  measure([](json& /*document*/) {});
  ASSERT_EQ(run("compare a.json b.json --format json"), 0);
  EXPECT_EQ(json::parse(out_).at("verdict"), "holds");
  ASSERT_EQ(run("compare a.json b.json --format markdown"), 0);
  EXPECT_NE(out_.find("\n| baseline | perplexity | "), std::string::npos) << out_;
}

TEST_F(Gate, UnusableInputIsNeitherAnswer) {
  measure([](json& document) { first(document)["perplexity"] = "low"; });
  expect_unusable("compare a.json b.json", "b.json, record 1: perplexity is no number");
  expect_unusable("compare a.json missing.json", "run file missing.json cannot be read");
  expect_unusable("compare . a.json", "run file . cannot be read");
  const std::string whole = read("a.json");
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size() - 3}) {
    write("cut.json", whole.substr(0, length));
    expect_unusable("compare a.json cut.json", "broken or cut short");
    expect_unusable("compare cut.json a.json", "broken or cut short");
  }
  write("deep.json", std::string(200'000, '['));
  expect_unusable("compare a.json deep.json", "nested too deep");
  write("deep.json", std::string(200'000, '[') + std::string(200'000, ']'));
  expect_unusable("compare a.json deep.json", "nested too deep");
}

TEST_F(Gate, BadFlagsAreNeitherAnswer) {
  measure([](json& /*document*/) {});
  expect_unusable("compare a.json", "compare needs the run to judge");
  expect_unusable("compare a.json a.json --max-ppl 1", "--max-ppl \"1\" is not understood");
  expect_unusable("compare a.json a.json --min-acc -1%", "--min-acc \"-1%\" is not understood");
  expect_unusable("compare a.json a.json --only h2o", "known: baseline, streaming_16");
  expect_unusable("compare a.json a.json --format xml", "allowed: table, json, markdown");
  expect_unusable("compare a.json a.json --nosuch", "--nosuch");
}

}  // namespace
}  // namespace kvg::harness
