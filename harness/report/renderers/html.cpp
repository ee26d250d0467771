#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/environment.h"
#include "harness/report/assets.h"
#include "harness/report/charts.h"
#include "harness/report/html_text.h"
#include "harness/report/needles.h"
#include "harness/report/renderer.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

// As many as show what kind of answers they are.
constexpr std::size_t kShownMisses = 50;

// Deeper than any environment that is written.
constexpr int kDeepest = 3;

std::string element(const char* tag, std::string_view text) {
  return "<" + std::string(tag) + ">" + html_text(text) + "</" + tag + ">";
}

std::string head_of(const RunTable& table) {
  std::string html = "<thead><tr>";
  for (const TableColumn& column : table.columns) {
    html += std::string("<th scope=\"col\"") + (column.is_text ? "" : " class=\"number\"") +
            " title=\"" + html_text(column.key + (column.unit.empty() ? "" : ", " + column.unit)) +
            "\">" + "<button type=\"button\">" + html_text(column.heading) + "</button></th>";
  }
  return html + "</tr></thead>";
}

std::string cell_html(const Cell& cell, const TableColumn& column) {
  std::string attributes;
  if (cell.number) {
    attributes += " data-number=\"" + Json(*cell.number).dump() + "\"";
  }
  const std::string classes =
      std::string(column.is_text ? "" : "number") + (cell.best ? " best" : "");
  if (!classes.empty()) {
    attributes += " class=\"" + classes + "\"";
  }
  return "<td" + attributes + ">" + html_text(cell.text) + "</td>";
}

std::string row_html(const RunTable& table, const TableRow& row) {
  if (row.failed) {
    const std::size_t rest = table.columns.size() > 1 ? table.columns.size() - 1 : 1;
    return "<tr class=\"failed\">" + element("td", row.method) + "<td colspan=\"" +
           std::to_string(rest) + "\">failed: " + html_text(row.error) + "</td></tr>\n";
  }
  std::string html = "<tr>";
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    html += cell_html(row.cells[i], table.columns[i]);
  }
  return html + "</tr>\n";
}

std::string table_html(const RunTable& table) {
  std::string html = "<div class=\"wide\"><table class=\"figures\">" + head_of(table) + "<tbody>\n";
  for (const TableRow& row : table.rows) {
    html += row_html(table, row);
  }
  return html + "</tbody></table></div>\n";
}

// What page.js draws.
Json chart_json(const Chart& chart) {
  constexpr std::array kKinds{"scatter", "bars", "lines"};
  Json all = Json::array();
  for (const Series& series : chart.series) {
    Json points = Json::array();
    for (const Point& point : series.points) {
      points.push_back(
          {{"x", point.x}, {"y", point.y}, {"name", point.name}, {"front", point.on_front}});
    }
    all.push_back({{"name", series.name}, {"points", std::move(points)}});
  }
  return {{"kind", kKinds.at(static_cast<std::size_t>(chart.kind))},
          {"x", chart.x_title},
          {"y", chart.y_title},
          {"log", chart.log_y},
          {"series", std::move(all)}};
}

std::string charts_html(const RunTable& table, Json& drawn) {
  std::string html;
  for (const Chart& chart : charts_of(table)) {
    html += "<figure class=\"chart\"><figcaption>" + element("strong", chart.title) + " " +
            html_text(chart.note) + "</figcaption><div><canvas data-chart=\"" +
            std::to_string(drawn.size()) + "\" role=\"img\" aria-label=\"" +
            html_text(chart.title) + "\"></canvas></div></figure>\n";
    drawn.push_back(chart_json(chart));
  }
  return html.empty() ? html : "<div class=\"charts\">\n" + html + "</div>\n";
}

std::string heat_cell(const NeedleGrid::Cell& cell) {
  if (cell.answers == 0) {
    return "<td>-</td>";
  }
  const double mean = cell.score_sum / cell.answers;
  return "<td class=\"heat-" + std::to_string(std::lround(mean * 10.0)) + "\" title=\"" +
         std::to_string(cell.answers) + " asked\">" + std::to_string(std::lround(mean * 100.0)) +
         "</td>";
}

std::string grid_html(const NeedleGrid& grid) {
  std::string html = "<figure class=\"grid\">" + element("figcaption", grid.name) +
                     "<table><thead><tr><th scope=\"col\">depth</th>";
  for (const std::int64_t context : grid.contexts) {
    html += "<th scope=\"col\">" + std::to_string(context) + "</th>";
  }
  html += "</tr></thead><tbody>\n";
  for (std::size_t row = 0; row < grid.depths.size(); ++row) {
    html += "<tr><th scope=\"row\">" + std::to_string(grid.depths[row]) + " %</th>";
    for (const NeedleGrid::Cell& cell : grid.cells[row]) {
      html += heat_cell(cell);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></figure>\n";
}

std::string needles_html(const RunTable& table) {
  const std::vector<NeedleGrid> grids = needle_grids(table);
  if (grids.empty()) {
    return {};
  }
  std::string html =
      "<h3>What was found, by depth and length</h3><p>Mean score in percent: across, the tokens of "
      "the prompt; down, how much of the text lies before what is asked for.</p>"
      "<div class=\"grids\">\n";
  for (const NeedleGrid& grid : grids) {
    html += grid_html(grid);
  }
  return html + "</div>\n";
}

std::string misses_html(const RunTable& table) {
  const std::vector<Miss> all = misses(table, kShownMisses);
  if (all.empty()) {
    return {};
  }
  std::string html =
      "<details><summary>Answers that missed (the first " + std::to_string(all.size()) +
      ")</summary><div class=\"wide\"><table><thead><tr><th>Policy</th><th>Depth</th>"
      "<th>Score</th><th>Answer</th></tr></thead><tbody>\n";
  for (const Miss& miss : all) {
    html += "<tr>" + element("td", miss.name) + element("td", miss.depth) +
            element("td", Json(miss.score).dump()) + element("td", miss.text) + "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

std::string flat_text(const Json& value, int depth = 0) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_structured()) {
    return value.is_null() ? "-" : value.dump();
  }
  if (depth == kDeepest) {
    return "...";
  }
  std::string text;
  for (const auto& [key, inner] : value.items()) {
    text += (text.empty() ? "" : ", ") + (value.is_object() ? key + " " : std::string()) +
            flat_text(inner, depth + 1);
  }
  return text;
}

std::string environment_html(const Json& environment) {
  std::string html = "<h2>Environment and command</h2><pre>" +
                     html_text(text_member(environment, "command")) + "</pre><dl>\n";
  for (const auto& [key, value] : environment.items()) {
    if (key != "command" && !value.is_null()) {
      html += element("dt", beginning(key)) + element("dd", beginning(flat_text(value))) + "\n";
    }
  }
  return html + "</dl>\n";
}

std::string run_html(const Run& run, Json& drawn) {
  std::string html = "<article><p class=\"file\">" + html_text(run.file) + "</p>\n";
  for (const RunTable& table : tables_of(*run.document)) {
    html += "<section>" + element("h2", table.name) + "\n" + table_html(table) +
            charts_html(table, drawn) + needles_html(table) + misses_html(table) + "</section>\n";
  }
  return html + "<section class=\"environment\">" +
         environment_html(run.document->at("environment")) + "</section></article>\n";
}

// Nothing is loaded, and no script runs but the two that are written here.
const std::string& content_policy() {
  static const std::string kPolicy =
      "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + content_hash(kStyle) +
      "; script-src " + content_hash(kLibrary) + " " + content_hash(kScript);
  return kPolicy;
}

}  // namespace

void render_html(std::span<const Run> runs, std::ostream& out) {
  Json drawn = Json::array();
  std::string body;
  for (const Run& run : runs) {
    body += run_html(run, drawn);
  }
  out << filled(kPage, [&](std::string_view name) -> std::string {
    if (name == "policy") {
      return content_policy();
    }
    if (name == "style") {
      return std::string(kStyle);
    }
    if (name == "body") {
      return body;
    }
    if (name == "program") {
      return html_text(version_line());
    }
    if (name == "charts") {
      return html_json(drawn.dump());
    }
    return std::string(name == "library" ? kLibrary : kScript);
  });
}

}  // namespace kvg::harness::report
