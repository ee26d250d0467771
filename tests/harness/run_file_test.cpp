#include "harness/run_file.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_throw;

TEST(ParseRun, RefusesWhatIsNoRun) {
  const auto refuse = [](std::string_view text, const char* part) {
    expect_throw<DataError>([&] { static_cast<void>(parse_run(text, "a.json")); }, part);
  };
  refuse("",
         "a.json is no run that `kvgauge run --json` or --jsonl wrote: it is broken or cut short");
  refuse(R"({"records": [{"policy": "base)", "broken or cut short");
  refuse(R"({"records": [{"tpot": 1e999}]})", "it holds a number out of range");
  refuse(R"({"records": [{"tpot": NaN}]})", "it is broken or cut short at byte 23");
  refuse("[]", "it holds no object");
  refuse("{}", "no array of records");
  refuse(R"({"records": {}})", "no array of records");
  refuse(R"({"records": [1]})", "no array of records");
  refuse(R"({"schema": "kvgauge.run/9", "records": []})", "its schema is not kvgauge.run/1");
  const std::string deep = std::string(9999, '[') + std::string(9999, ']');
  refuse(R"({"records": )" + deep + "}", "it is nested too deep");
  refuse(R"({"environment": 1, "records": []})", "its environment is no object");
}

// A line of --jsonl.
std::string line(const std::string& method, const std::string& commit, const std::string& text) {
  return R"({"schema":"kvgauge.record/1","method":")" + method +
         R"(","environment":{"time_utc":")" + method + R"(","commit":")" + commit +
         R"(","texts":[{"name":")" + text + R"("}]}})" + "\n";
}

TEST(ParseRun, MakesARunOfRecordLines) {
  const auto run = parse_run(line("a", "c1", "t1") + line("b", "c1", "t2"), "a.jsonl");
  EXPECT_EQ(run, nlohmann::json::parse(R"({"schema": "kvgauge.run/1",
      "environment": {"time_utc": "b", "commit": "c1", "texts": [{"name": "t1"}, {"name": "t2"}]},
      "records": [{"method": "a"}, {"method": "b"}]})"));
}

TEST(ParseRun, NamesNoCommitOfSeveral) {
  const std::string two = line("a", "c1", "t") + line("b", "c2", "t") + line("c", "c2", "t");
  const auto environment = parse_run(two, "a.jsonl").at("environment");
  EXPECT_TRUE(environment.at("commit").is_null());
  EXPECT_EQ(environment.at("texts").size(), 1U);
}

TEST(ParseRun, LeavesOutARecordThatWasCutShort) {
  const std::string first = line("a", "c", "t");
  const std::string second = line("b", "c", "t");
  for (std::size_t kept = 1; kept + 2 < second.size(); ++kept) {
    EXPECT_EQ(parse_run(first + second.substr(0, kept), "a.jsonl").at("records").size(), 1U);
  }
  EXPECT_EQ(parse_run(first + second.substr(0, second.size() - 1), "a.jsonl").at("records").size(),
            2U)
      << "it lacked its end alone";
}

TEST(ParseRun, NamesALineThatIsNoRecord) {
  const std::string first = line("a", "c", "t");
  const auto refuse = [&first](const std::string& more, const char* part) {
    expect_throw<DataError>([&] { static_cast<void>(parse_run(first + more, "a.jsonl")); }, part);
  };
  refuse("{\n" + first,
         "a.jsonl is no run that `kvgauge run --json` or --jsonl wrote: line 2 is no");
  refuse("\n" + first, "line 2 is no record");
  refuse("my notes", "line 2 is no record");
  refuse(R"({"schema":"kvgauge.record/2"})", "line 2 is no record");
  refuse(R"({"schema":"kvgauge.record/1"})", "line 2 has no environment of a run");
  std::string members;
  for (int i = 0; i < 65; ++i) {
    members += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
  }
  refuse(R"({"schema":"kvgauge.record/1","environment":{)" + members + "}}",
         "line 2 has no environment of a run");
}

}  // namespace
}  // namespace kvg::harness
