#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/harness/program_fixture.h"

namespace kvg::harness {
namespace {

using nlohmann::json;

class ReportProgram : public ProgramFixture {
 protected:
  void expect_refused(const std::string& arguments, const std::string& part) {
    EXPECT_EQ(run(arguments), 1) << arguments << "\n" << out_;
    EXPECT_TRUE(err_.starts_with("kvgauge: ")) << err_;
    EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
    EXPECT_NE(err_.find(part), std::string::npos) << err_;
  }

  void measure() {
    ASSERT_EQ(run("run --max-tokens 20 --num-samples 1 --warmup 0 --policy baseline,window_8 "
                  "--json run.json"),
              0)
        << err_;
  }
};

TEST_F(ReportProgram, WritesAPageOfItsOwn) {
  measure();
  ASSERT_EQ(run("report run.json -o report.html"), 0) << err_;
  EXPECT_EQ(out_, "");
  const std::string page = read("report.html");
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_NE(page.find("<td>window_8</td>"), std::string::npos);
  EXPECT_NE(page.find("Chart.js v"), std::string::npos);
}

TEST_F(ReportProgram, TakesTheFormatFromTheFileOrFromTheFlag) {
  measure();
  ASSERT_EQ(run("report run.json run.json -o rows.csv"), 0) << err_;
  EXPECT_EQ(std::ranges::count(read("rows.csv"), '\n'), 5);
  ASSERT_EQ(run("report run.json --format json -o rows.txt"), 0) << err_;
  EXPECT_EQ(json::parse(read("rows.txt")).at("runs").at(0).at("tables").at(0).at("rows").size(),
            2U);
  ASSERT_EQ(run("report run.json --format csv"), 0) << err_;
  EXPECT_TRUE(out_.starts_with("model,dataset,protocol,device,dtype,method,")) << out_;
  expect_refused("report run.json -o report.pdf",
                 "give --format, or one of .md, .html, .csv, .json");
  expect_refused("report run.json --format latex", "allowed: markdown, html, csv, json");
}

TEST_F(ReportProgram, ReadsRecordLinesAsTheRunTheyAre) {
  constexpr const char* kRun =
      "run --max-tokens 20 --num-samples 1 --warmup 0 --policy baseline,window_8 ";
  ASSERT_EQ(run(std::string(kRun) + "--json run.json --jsonl run.jsonl"), 0) << err_;
  ASSERT_EQ(run("report run.json --format json"), 0) << err_;
  json of_document = json::parse(out_).at("runs").at(0);
  ASSERT_EQ(run("report run.jsonl --format json"), 0) << err_;
  json of_lines = json::parse(out_).at("runs").at(0);
  EXPECT_EQ(of_lines.at("file"), "run.jsonl");
  of_document.erase("file");
  of_lines.erase("file");
  EXPECT_EQ(of_lines, of_document);
  EXPECT_EQ(run("compare run.json run.jsonl"), 0) << out_ << err_;
}

TEST_F(ReportProgram, ExplainsItself) {
  ASSERT_EQ(run("report --help"), 0);
  for (const char* part : {"Usage: kvgauge report ", "-o,--output FILE", "--format", "Examples:"}) {
    EXPECT_NE(out_.find(part), std::string::npos) << part << out_;
  }
}

TEST_F(ReportProgram, NeverWritesOverARun) {
  measure();
  const std::string before = read("run.json");
  expect_refused("report run.json -o ./run.json",
                 "--output ./run.json is one of the runs to report");
  EXPECT_EQ(read("run.json"), before);
}

TEST_F(ReportProgram, LeavesNoReportOfABrokenRun) {
  measure();
  const std::string whole = read("run.json");
  write("cut.json", whole.substr(0, whole.size() / 2));
  write("empty.json", "");
  write(
      "rows.json", R"({"environment": {}, "records": [)" + [] {
        std::string rows = "{}";
        for (int i = 0; i < 10'000; ++i) {
          rows += ",{}";
        }
        return rows;
      }() + "]}");
  expect_refused("report run.json cut.json -o report.html", "cut.json is no run");
  expect_refused("report empty.json -o report.html", "broken or cut short");
  expect_refused("report rows.json -o report.html", "to 10001 records; allowed: up to 10000");
  expect_refused("report run.json -o nosuch/report.html", "there is no folder");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "report.html"));
}

}  // namespace
}  // namespace kvg::harness
