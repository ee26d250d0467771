#include "harness/sweep_file.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_invalid;
using testing_support::expect_throw;
using Texts = std::vector<std::string>;
using Numbers = std::vector<std::int32_t>;

Grid parse(std::string_view text) {
  return parse_sweep(text, SweepFormat::kJson, "g.json");
}

Grid parse_yaml(std::string_view text) {
  return parse_sweep(text, SweepFormat::kYaml, "g.yaml");
}

void expect_the_grid(const Grid& grid) {
  EXPECT_EQ(grid.models, (Texts{"tiny-llama", "tiny-neox"}));
  EXPECT_EQ(grid.base.datasets, (Texts{"niah", "passkey"}));
  EXPECT_EQ(grid.policies,
            (Texts{"baseline", "snapkv_128", "snapkv_256", "window:budget=8,decode=evict+int4"}));
  EXPECT_EQ(grid.base.contexts, (Numbers{500, 1000, 2000, 1900}));
  EXPECT_EQ(grid.base.depths, (Numbers{0, 100}));
  EXPECT_EQ(grid.base.num_samples, 4);
  EXPECT_EQ(grid.base.query, "agnostic");
  EXPECT_EQ(grid.base.seed, 7U);
  EXPECT_EQ(grid.base.memory_limit, 1'000'000'000U);
  EXPECT_EQ(protocol_of(grid), "task");
}

TEST(ParseSweep, ReadsJson) {
  expect_the_grid(parse(R"({
      "models": ["tiny-llama", "tiny-neox"], "datasets": ["niah", "passkey"],
      "policies": ["snapkv_128-256*2", "baseline", "window:budget=8,decode=evict+int4"],
      "contexts": ["500-2000*2", 1900], "depths": "0,100", "num_samples": 4, "query": "agnostic",
      "seed": 7, "memory-limit": "1GB"})"));
}

TEST(ParseSweep, ReadsYaml) {
  expect_the_grid(parse_yaml(R"(
# needles
models: [tiny-llama, tiny-neox]
dataset: &sets
  - niah
  - passkey
policies:
  - snapkv_128-256*2
  - baseline
  - window:budget=8,decode=evict+int4
context: [500-2000*2, 1900]
depth: 0-100+100
num-samples: 4
query: agnostic
seed: "7"
memory_limit: 1GB
)"));
}

TEST(ParseSweep, TakesContextsInTheProtocolsOwnMeasure) {
  const Grid stream = parse(R"({"contexts": [40, 80], "datasets": "emma"})");
  ASSERT_EQ(stream.counts.size(), 1U);
  EXPECT_EQ(stream.counts[0].count->flag, "--max-tokens");
  EXPECT_EQ(stream.counts[0].values, (Numbers{40, 80}));
  const Grid speed = parse(R"({"contexts": "16-64*2", "batches": [1, 2], "protocol": "speed"})");
  ASSERT_EQ(speed.counts.size(), 2U);
  EXPECT_EQ(speed.counts[0].count->flag, "--batch");
  EXPECT_EQ(speed.counts[1].count->flag, "--prompt-len");
  EXPECT_EQ(parse(R"({"datasets": "niah", "contexts": 500})").base.contexts, (Numbers{500}));
  EXPECT_EQ(parse(R"({"contexts": 500})").base.max_tokens, 500);
}

TEST(ParseSweep, TakesAFlagAsTrueOrFalse) {
  EXPECT_FALSE(parse(R"({"no_kl": true})").base.kl);
  EXPECT_TRUE(parse(R"({"no-kl": false})").base.kl);
  EXPECT_FALSE(parse_yaml("no_kl: true").base.kl);
}

TEST(ParseSweep, PutsTheBaselineFirstAndKeepsTheOthersOrder) {
  EXPECT_EQ(parse(R"({"policies": ["window_8", "baseline", "all", "h2o_8"]})").policies,
            (Texts{"baseline", "window_8", "all", "h2o_8"}));
}

TEST(ParseSweep, RefusesWhatIsNoGrid) {
  const auto broken = [](std::string_view text, std::string_view part) {
    expect_throw<DataError>([text] { static_cast<void>(parse(text)); }, part);
  };
  broken("", "sweep file g.json: it is no JSON");
  broken("{", "it is no JSON");
  broken("{\"seed\": 1} {}", "it is no JSON");
  broken("{\"policies\": \"\xff\"}", "it is no JSON");
  broken("[1]", "it holds no object");
  broken(std::string(100'000, '['), "it is no JSON");
  broken(R"({"seed": 1, "seed": 2})", "seed is there more than once");
  broken(R"({"seed": null})", "seed has a value that is neither a text, a number nor a list");
  broken(R"({"models": [["a"]]})", "models has a value that is neither");
  broken(R"({"models": {"a": 1}})", "models has a value that is neither");
  broken(R"({"models": []})", "models has 0 values; allowed: 1 to 1000");
  broken(R"({"models": ""})", "models has a value that is empty");
  broken(R"({"models": "a\nb"})", "not plain text");
  broken(R"({"models": "\u001b[2J"})", "not plain text");
  broken(R"({"models": "a\u0000b"})", "not plain text");
  broken(R"({"a\nb": 1})", "a key is no plain word");
  broken("{\"models\": \"" + std::string(5000, 'x') + "\"}", "longer than 4096 bytes");
  std::string many = "{\"models\": [\"a\"";
  for (int i = 0; i < 1000; ++i) {
    many += ", \"a\"";
  }
  broken(many + "]}", "models has 1001 values");
}

TEST(ParseSweep, RefusesYamlThatIsNoGrid) {
  const auto broken = [](std::string_view text, std::string_view part) {
    expect_throw<DataError>([text] { static_cast<void>(parse_yaml(text)); }, part);
  };
  broken("", "sweep file g.yaml: it is not one YAML mapping");
  broken("- a\n- b\n", "it is not one YAML mapping");
  broken("seed: 1\n---\nseed: 2\n", "it is not one YAML mapping");
  broken("\"lama\",", "it is not one YAML mapping");
  broken("{seed: 1}, more", "it is not one YAML mapping");
  broken("seed: [1, 2\n", "line 2");
  broken("seed: 1\nseed: 2\n", "seed is there more than once");
  broken("seed: ~\n", "seed has a value that is neither");
  broken("models: {a: b}\n", "models has a value that is neither");
  broken("? [a]\n: b\n", "a key is no plain word");
  broken("models: \"\\e[2J\"\n", "not plain text");
  broken(std::string(100'000, '['), "sweep file g.yaml: ");
  // Every level would be ten times the one before, were it ever written out.
  broken("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n",
         "b has a value that is neither");
}

TEST(ParseSweep, RefusesWhatRunWouldRefuse) {
  const auto refuses = [](std::string_view text, std::string_view part) {
    expect_invalid([text] { static_cast<void>(parse(text)); }, part);
  };
  refuses(R"({"jsonl": "a"})",
          "sweep file g.json: nothing is called \"jsonl\"; known: contexts, "
          "models, datasets, policies, protocol, ");
  refuses(R"({"--seed": 1})", "nothing is called \"--seed\"");
  refuses(R"({"": 1})", "nothing is called \"\"");
  refuses(R"({"seed": [1, 2]})", "sweep file g.json: seed takes one value");
  refuses(R"({"seed": true})", "sweep file g.json: --seed true is no whole number in range");
  refuses(R"({"no_kl": "yes"})", "--no-kl yes is neither true nor false");
  refuses(R"({"seed": 1.5})", "sweep file g.json: --seed 1.5 is no whole number in range");
  refuses(R"({"seed": 99999999999999999999})", "--seed 1e+20 is no whole number in range");
  refuses(R"({"batches": [1, -2]})", "--batch 1,-2 is not understood");
  refuses(R"({"batches": "1-5*1"})", "--batch 1-5*1 is not understood");
  refuses(R"({"depths": 101})", "--depth 101 is not understood");
  refuses(R"({"model": "a", "models": "b"})", "models says again what another key says");
  refuses(R"({"contexts": 50, "max_tokens": 60})", "contexts says again what another key says");
}

TEST(ReadSweep, RefusesFilesByNameSizeAndAbsence) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir());
  expect_invalid([] { static_cast<void>(read_sweep("grid.txt")); },
                 "has no known ending; allowed: .json, .yaml, .yml");
  expect_throw<DataError>([] { static_cast<void>(read_sweep("/nosuch/grid.json")); },
                          "sweep file /nosuch/grid.json: it cannot be read");
  const fs::path large = folder / "kvg_large_sweep.json";
  std::ofstream(large) << std::string((1 << 20) + 1, ' ');
  expect_throw<DataError>([&] { static_cast<void>(read_sweep(large)); }, "more than the 1 MiB");
  fs::remove(large);
}

}  // namespace
}  // namespace kvg::harness
