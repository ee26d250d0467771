#include "harness/cell.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

Json record() {
  return {{"model", "tiny-llama"},
          {"weights_sha256", "00ff"},
          {"dataset", "persuasion"},
          {"dataset_sha256", "ff00"},
          {"policy", "window:budget=8"},
          {"protocol", "stream"},
          {"context", nullptr},
          {"query", nullptr},
          {"batch", 1},
          {"seed", 0},
          {"dtype", "f32"},
          {"device", "cuda:0"},
          {"settings", {{"max_tokens", 40}, {"threads", nullptr}}},
          {"tpot", 0.001},
          {"status", "ok"}};
}

TEST(CellKey, TellsApartEverythingThatDecidesAFigure) {
  const std::string key = cell_key(record());
  const std::vector<std::pair<const char*, Json>> changes{{"model", "tiny-neox"},
                                                          {"weights_sha256", "01ff"},
                                                          {"dataset", "emma"},
                                                          {"dataset_sha256", "ff01"},
                                                          {"policy", "window:budget=9"},
                                                          {"protocol", "split"},
                                                          {"context", 500},
                                                          {"query", "aware"},
                                                          {"batch", 2},
                                                          {"seed", 1},
                                                          {"dtype", "bf16"},
                                                          {"device", "cpu"},
                                                          {"settings", {{"max_tokens", 41}}}};
  for (const auto& [name, value] : changes) {
    Json other = record();
    other[name] = value;
    EXPECT_NE(cell_key(other), key) << name;
  }
  Json threads = record();
  threads["settings"]["threads"] = 2;
  EXPECT_NE(cell_key(threads), key);
}

TEST(CellKey, IsTheSameForWhatWasMeasuredTwice) {
  Json other = record();
  other["tpot"] = 0.002;
  other["status"] = "failed";
  other["device"] = "cuda:1";
  other["settings"] = {{"max_tokens", 40}};
  EXPECT_EQ(cell_key(other), cell_key(record()));
  EXPECT_TRUE(is_measured(record()));
  EXPECT_FALSE(is_measured(other));
}

TEST(CellKey, TakesLinesOfStrangers) {
  for (const char* line : {"{}",
                           "{\"settings\": 3}",
                           "{\"settings\": [1, {}]}",
                           "{\"model\": {\"a\": [null]}, \"device\": 7}"}) {
    EXPECT_NE(cell_key(Json::parse(line)), cell_key(record())) << line;
    EXPECT_FALSE(is_measured(Json::parse(line))) << line;
  }
}

TEST(MayBeCell, TakesForTheSameWhatTellsNothingElse) {
  const Json measured = Json::parse(R"({"model": "m", "dataset": "d", "policy": "p",
      "protocol": "split", "device": "cuda:1", "seed": 0, "weights_sha256": "w", "dtype": "f16",
      "settings": {"max_tokens": 9, "paired": "baseline"}})");
  Json failed = Json::parse(R"({"model": "m", "dataset": "d", "policy": "p", "protocol": "split",
      "device": "cuda:0", "seed": 0, "weights_sha256": null, "settings": {"max_tokens": 9}})");
  EXPECT_TRUE(may_be_cell(failed, measured));
  failed["weights_sha256"] = "w";
  EXPECT_TRUE(may_be_cell(failed, measured));
  failed["weights_sha256"] = "other";
  EXPECT_FALSE(may_be_cell(failed, measured));
  failed.erase("weights_sha256");
  failed["settings"]["max_tokens"] = 8;
  EXPECT_FALSE(may_be_cell(failed, measured));
  failed.erase("settings");
  EXPECT_TRUE(may_be_cell(failed, measured));
  failed.erase("policy");
  EXPECT_FALSE(may_be_cell(failed, measured)) << "it may be a cell of anything";
}

}  // namespace
}  // namespace kvg::harness
