#include <gtest/gtest.h>

#include "harness/report/assets.h"
#include "harness/report/html_text.h"
#include "tests/harness/report/fixed_runs.h"
#include "tests/support/expect_throw.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;
using testing_support::expect_invalid;

Json small_run() {
  Record failed = measured_record();
  failed.method = "window:budget=8";
  failed.status = Status::kFailed;
  failed.error = "it said \"no\", twice";
  return run_of({row_of("a", 20, 2e9, 0.5), row_of("b", 30, 1e9, 0.25), failed});
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

TEST(Renderers, AreFoundByNameAndByExtension) {
  EXPECT_EQ(renderer_named("csv").extension, ".csv");
  EXPECT_EQ(renderer_for("a/b.html").name, "html");
  expect_invalid([] { static_cast<void>(renderer_named("pdf")); },
                 "--format pdf is unknown; allowed: markdown, html, csv, json");
  expect_invalid(
      [] { static_cast<void>(renderer_for("report")); },
      "--output report names no format; give --format, or one of .md, .html, .csv, .json");
}

TEST(RenderMarkdown, WritesATableAndWhereItComesFrom) {
  const std::string text = rendered("markdown", small_run());
  EXPECT_TRUE(
      text.starts_with("**tiny-llama, persuasion, stream, cpu, f32**\n\n"
                       "| Method | TTFT(s) | TPOT(s) | "))
      << text;
  EXPECT_NE(text.find("\n| --- | ---: |"), std::string::npos) << text;
  EXPECT_NE(text.find("\n| a | 0.001235 | 0.5000 | "), std::string::npos) << text;
  EXPECT_NE(text.find("\n| window:budget=8 | failed: it said \"no\", twice |\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("\nMeasured 2026-11-21T09:30:00Z at commit "), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(" on A processor: `kvgauge run`\n")) << text;
}

TEST(RenderMarkdown, KeepsHostileNamesInTheirCells) {
  Json run = hostile_run();
  run["records"][0]["method"] = "[a](http://x) `b` | *c*\nd";
  run["environment"]["command"] = "run `x` ``y``";
  const std::string text = rendered("markdown", run);
  EXPECT_EQ(text.find("<img"), std::string::npos) << text;
  EXPECT_NE(text.find("| &#91;a](http://x) &#96;b&#96; &#124; &#42;c&#42; d |"), std::string::npos)
      << text;
  EXPECT_NE(text.find("``` run `x` ``y`` ```"), std::string::npos) << text;
}

TEST(RenderCsv, WritesOneDocumentOfAllRows) {
  const std::string text = rendered("csv", small_run());
  EXPECT_TRUE(text.starts_with("model,dataset,protocol,device,dtype,method,ttft,tpot,")) << text;
  EXPECT_NE(text.find(",status,error\r\ntiny-llama,persuasion,stream,cpu,f32,a,0.0012345678,0.5,"),
            std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with(",failed,\"it said \"\"no\"\", twice\"\r\n")) << text;
  EXPECT_EQ(count_of(text, "\r\n"), 4U);
}

TEST(RenderJson, WritesFiguresAndWhichAreBest) {
  const Json document = Json::parse(rendered("json", small_run()));
  EXPECT_EQ(document.at("schema"), "kvgauge.report/1");
  const Json& run = document.at("runs").at(0);
  EXPECT_EQ(run.at("file"), "run.json");
  EXPECT_EQ(run.at("environment").at("cpu"), "A processor");
  const Json& table = run.at("tables").at(0);
  EXPECT_EQ(table.at("columns").at(0).at("key"), "method");
  EXPECT_EQ(table.at("rows").at(0).at("perplexity"), 20.0);
  EXPECT_EQ(table.at("rows").at(0).at("best"), Json::array({"perplexity"}));
  EXPECT_EQ(table.at("rows").at(1).at("best"), Json::array({"tpot", "peak_memory_gb"}));
  EXPECT_EQ(table.at("rows").at(2).at("error"), "it said \"no\", twice");
}

TEST(RenderHtml, HoldsTheTablesOfTheRun) {
  const std::string page = rendered("html", small_run());
  EXPECT_TRUE(page.starts_with("<!doctype html>")) << page.substr(0, 80);
  EXPECT_NE(page.find("<h2>tiny-llama, persuasion, stream, cpu, f32</h2>"), std::string::npos);
  EXPECT_NE(page.find("<td data-number=\"20.0\" class=\"number best\">20.00</td>"),
            std::string::npos);
  EXPECT_NE(page.find("<tr class=\"failed\"><td>window:budget=8</td><td colspan=\""),
            std::string::npos);
  EXPECT_NE(page.find("failed: it said &quot;no&quot;, twice</td>"), std::string::npos);
  EXPECT_NE(page.find("<pre>kvgauge run</pre>"), std::string::npos);
  EXPECT_EQ(page.find("{{"), std::string::npos) << "every part is filled in";
}

TEST(RenderHtml, LoadsNothing) {
  const std::string page = rendered("html", small_run());
  const std::string own = page.substr(0, page.find("<script"));
  for (const char* part : {"http:", "https:", "src=", "@import", "url("}) {
    EXPECT_EQ(own.find(part), std::string::npos) << part;
  }
  EXPECT_NE(own.find("default-src 'none'"), std::string::npos);
}

TEST(RenderHtml, EscapesEveryText) {
  const std::string page = rendered("html", hostile_run());
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(count_of(page, "</script>"), 3U) << "those of the page itself";
  // Names also stand in attributes, which a quote would end.
  EXPECT_EQ(page.find("x onerror=\""), std::string::npos);
  EXPECT_GT(count_of(page, "&lt;/script&gt;&lt;img src=x onerror=&quot;"), 10U);
}

TEST(RenderHtml, ColoursTheGridByScore) {
  const Json run = run_of({needle_row("a", 500, {1.0, 0.0, 0.54})});
  const std::string page = rendered("html", run);
  EXPECT_NE(page.find("<th scope=\"row\">0 %</th><td class=\"heat-10\" title=\"1 asked\">100</td>"),
            std::string::npos);
  EXPECT_NE(page.find("<td class=\"heat-0\" title=\"1 asked\">0</td>"), std::string::npos);
  EXPECT_NE(page.find("<td class=\"heat-5\" title=\"1 asked\">54</td>"), std::string::npos);
  EXPECT_NE(page.find("Answers that missed (the first 2)"), std::string::npos);
}

TEST(Renderers, RenderARunWithoutRecords) {
  for (const Renderer& renderer : renderers()) {
    EXPECT_NE(rendered(std::string(renderer.name), run_of({})), "") << renderer.name;
  }
}

// Whatever stands in the place of whatever member, a report is made of it.
TEST(Renderers, TakeAnythingAnywhere) {
  Json nested = "end";
  for (int i = 0; i < 100; ++i) {
    nested = Json::array({nested});
  }
  const Json whole = run_of({row_of("a", 20, 2e9, 0.5), needle_row("b", 500, {1.0})});
  const Json leaves = whole.flatten();
  for (const auto& [path, unused] : leaves.items()) {
    for (const Json& value : {Json(), Json("x"), Json(-1e308), nested}) {
      Json run = whole;
      run[Json::json_pointer(path)] = value;
      for (const Renderer& renderer : renderers()) {
        EXPECT_NE(rendered(std::string(renderer.name), run), "") << path << " " << value;
      }
    }
  }
}

TEST(RenderHtml, ShowsTheBeginningOfLongTexts) {
  Json run = small_run();
  run["records"][0]["method"] = std::string(1'000'000, 'x');
  run["environment"]["cpu"] = std::string(1'000'000, 'y');
  EXPECT_LT(rendered("html", run).size(), rendered("html", small_run()).size() + 100'000);
}

TEST(HtmlText, EscapesWhatBeginsOrEndsMarkup) {
  EXPECT_EQ(html_text("<a href=\"x\" b='y'>&amp;\n"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp; ");
  EXPECT_EQ(html_json("{\"a\":\"</script>\"}"), "{\"a\":\"\\u003c/script>\"}");
}

TEST(Filled, LooksAtNothingTwice) {
  EXPECT_EQ(
      filled("a{{x}}b{{y}}c {{", [](std::string_view name) { return name == "x" ? "{{y}}" : "2"; }),
      "a{{y}}b2c {{");
}

// Of "" and "abc": FIPS 180-4's examples, in base64.
TEST(ContentHash, IsWhatABrowserComputes) {
  EXPECT_EQ(content_hash(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
  EXPECT_EQ(content_hash("abc"), "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
}

TEST(Assets, AreEmbeddedWhole) {
  EXPECT_TRUE(kLibrary.starts_with("/*!\n * Chart.js v")) << kLibrary.substr(0, 40);
  EXPECT_NE(kLibrary.find("MIT License"), std::string_view::npos) << "the notice travels along";
  EXPECT_EQ(kLibrary.find("</script"), std::string_view::npos);
  EXPECT_EQ(kScript.find("</script"), std::string_view::npos);
  EXPECT_TRUE(kScript.ends_with("drawAll();\n"));
}

}  // namespace
}  // namespace kvg::harness::report
