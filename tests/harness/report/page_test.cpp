#include <gtest/gtest.h>
#include <memory>

#include "tests/harness/report/browser.h"
#include "tests/harness/report/fixed_runs.h"
#include "tests/support/temp_folder.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

// The report as a reader has it: opened from a file, in a browser.
class Page : public testing::Test {
 protected:
  void SetUp() override {
    const std::string program = find_chromium();
    if (program.empty()) {
      GTEST_SKIP() << "this machine has no chromium";
    }
    browser_ = std::make_unique<Browser>(program);
  }

  void open(const Json& run) {
    const auto file = folder_.write("report.html", rendered("html", run));
    browser_->open("file://" + file.string());
  }

  void TearDown() override {
    if (browser_) {
      EXPECT_EQ(browser_->complaints(), std::vector<std::string>{});
    }
  }

  Json evaluate(const std::string& expression) { return browser_->evaluate(expression); }

  // The first column from top to bottom.
  [[nodiscard]] std::string order() {
    return evaluate(
        "[...document.querySelectorAll('.figures tbody tr')].map(r => r.cells[0].textContent)"
        ".join(' ')");
  }

  void click(const std::string& heading) {
    EXPECT_EQ(evaluate("(() => { const b = [...document.querySelectorAll('.figures th button')]"
                       ".find(b => b.textContent === '" +
                       heading + "'); b.click(); return b.closest('th').ariaSort; })()")
                  .is_string(),
              true)
        << heading;
  }

  // A canvas on which nothing is drawn is transparent all over.
  [[nodiscard]] Json drawn_canvases() {
    return evaluate(
        "[...document.querySelectorAll('canvas')].filter(c => c.width > 0 && "
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)).length");
  }

  [[nodiscard]] std::string background() {
    return evaluate("getComputedStyle(document.body).backgroundColor");
  }

  void emulate(const std::string& medium, const std::string& scheme) {
    browser_->send(
        "Emulation.setEmulatedMedia",
        {{"media", medium}, {"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
  }

  // The page hears of some things a frame or two later.
  void expect_soon(const std::string& expression, const Json& value) {
    constexpr int kMostFrames = 200;
    Json is = evaluate(expression);
    for (int frame = 0; frame < kMostFrames && is != value; ++frame) {
      evaluate("new Promise(done => requestAnimationFrame(() => done()))");
      is = evaluate(expression);
    }
    EXPECT_EQ(is, value) << expression;
  }

  testing_support::TempFolder folder_;
  std::unique_ptr<Browser> browser_;
};

Json three_rows() {
  Record failed = measured_record();
  failed.method = "broken";
  failed.status = Status::kFailed;
  failed.error = "out of memory";
  Record unscored = row_of("unscored", 1, 3e9, 0.001);
  unscored.perplexity = {};
  return run_of({row_of("b", 9.5, 1e9, 0.004),
                 failed,
                 unscored,
                 row_of("a", 20, 2e9, 0.002),
                 row_of("c", 100, 5e8, 0.003)});
}

TEST_F(Page, DrawsEveryChart) {
  open(three_rows());
  EXPECT_EQ(evaluate("Object.keys(Chart.instances).length"), 5);
  EXPECT_EQ(drawn_canvases(), 5);
}

TEST_F(Page, AsksForNothingButItself) {
  open(three_rows());
  EXPECT_EQ(browser_->requests(),
            std::vector<std::string>{"file://" + (folder_.path() / "report.html").string()});
}

TEST_F(Page, SortsByAClickOnAHeading) {
  open(three_rows());
  EXPECT_EQ(order(), "b broken unscored a c");
  click("PPL");
  EXPECT_EQ(order(), "b a c unscored broken") << "by number, 9.5 before 20 before 100";
  click("PPL");
  EXPECT_EQ(order(), "c a b unscored broken") << "rows without a figure stay last";
  click("Method");
  EXPECT_EQ(order(), "a b c unscored broken");
  EXPECT_EQ(evaluate("document.querySelectorAll('[aria-sort]').length"), 1);
}

TEST_F(Page, MarksTheBest) {
  open(three_rows());
  EXPECT_EQ(evaluate("[...document.querySelectorAll('.best')].map(c => c.textContent).join(' ')"),
            "9.500 0.001000 0.4657");
}

TEST_F(Page, RunsNothingOfAStranger) {
  open(hostile_run());
  EXPECT_EQ(evaluate("typeof window.pwned"), "undefined");
  EXPECT_EQ(evaluate("document.images.length"), 0);
  EXPECT_EQ(evaluate("document.scripts.length"), 3);
  EXPECT_EQ(evaluate("document.querySelector('.figures td').textContent"), kHostile);
  EXPECT_EQ(evaluate("Chart.instances[0].data.datasets[0].data[0].name"), kHostile);
  EXPECT_GT(drawn_canvases(), 0);
}

TEST_F(Page, DrawsALargeRun) {
  std::vector<Record> rows;
  rows.reserve(40);
  for (int i = 0; i < 40; ++i) {
    rows.push_back(row_of("policy_" + std::to_string(i), 20 + i, 1e9 + i, 0.001));
  }
  open(run_of(rows));
  EXPECT_EQ(drawn_canvases(), 5);
}

TEST_F(Page, TurnsDark) {
  const char* const pixels = "document.querySelector('canvas').toDataURL()";
  emulate("screen", "light");
  open(three_rows());
  EXPECT_EQ(background(), "rgb(255, 255, 255)");
  const std::string light = evaluate(pixels);
  emulate("screen", "dark");
  EXPECT_EQ(background(), "rgb(21, 24, 28)");
  expect_soon("Chart.defaults.color", "#e6e8eb");
  EXPECT_EQ(evaluate("(scale => scale.options.ticks.setContext(scale.getContext(0)).color)"
                     "(Chart.instances[0].scales.x)"),
            "#e6e8eb");
  EXPECT_FALSE(evaluate(pixels) == light) << "charts turn dark too";
}

TEST_F(Page, FitsAPhone) {
  open(three_rows());
  browser_->send("Emulation.setDeviceMetricsOverride",
                 {{"width", 360}, {"height", 740}, {"deviceScaleFactor", 2}, {"mobile", true}});
  // Charts follow the new width a frame or more later. Only tables scroll sideways.
  expect_soon("document.documentElement.scrollWidth", 360);
  expect_soon(
      "Math.max(...[...document.querySelectorAll('canvas')]"
      ".map(c => c.getBoundingClientRect().right)) <= 360",
      true);
}

TEST_F(Page, PrintsInBlackOnWhite) {
  emulate("print", "dark");
  open(three_rows());
  EXPECT_EQ(background(), "rgb(255, 255, 255)");
  emulate("", "dark");
  const std::string document = browser_->send("Page.printToPDF").at("data");
  EXPECT_TRUE(document.starts_with("JVBERi0")) << "%PDF- in base64";
  EXPECT_EQ(background(), "rgb(21, 24, 28)") << "back on the screen";
}

TEST_F(Page, ShowsTheNeedles) {
  open(run_of({needle_row("a", 500, {1, 0, 1}), needle_row("a", 900, {1, 0.5, 1})}));
  EXPECT_EQ(evaluate("[...document.querySelectorAll('.grid tbody tr')].map(r => r.textContent)"
                     ".join('|')"),
            "0 %100100|50 %050|100 %100100");
  EXPECT_NE(evaluate("getComputedStyle(document.querySelector('.heat-0')).backgroundColor"),
            evaluate("getComputedStyle(document.querySelector('.heat-10')).backgroundColor"));
}

}  // namespace
}  // namespace kvg::harness::report
