// A comparison as a table on the console, as JSON and as Markdown.

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

#include "harness/columns.h"
#include "harness/compare.h"
#include "harness/markdown.h"
#include "harness/plain_text.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 8> kHeadings{
    "Method", "Figure", "Old", "New", "Change", "Limit", "Beyond noise", "Verdict"};
using Cells = std::array<std::string, kHeadings.size()>;

std::string signed_share(double share, std::string_view key) {
  const bool points = key == "accuracy";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%+.3g", share * 100.0);
  return text.data() + std::string(points ? " pt" : " %");
}

std::string number(std::optional<double> value) {
  return value ? four_digits(*value) : "-";
}

Cells cells_of(const ComparedRow& row, const ComparedFigure& figure) {
  std::string noise = "-";
  if (figure.beyond_noise) {
    noise = *figure.beyond_noise ? "yes" : "no";
  }
  return {row.method,
          std::string(figure.key),
          number(figure.before),
          number(figure.after),
          figure.change ? signed_share(*figure.change, figure.key) : "-",
          signed_share(figure.limit, figure.key),
          noise,
          std::string(name_of(figure.verdict))};
}

// Rows of one table lie together.
std::string table_name(const ComparedRow& row, const std::string& separator) {
  return row.model + separator + row.dataset + separator + row.protocol + separator +
         row.device_kind;
}

std::string verdict_line(const Comparison& comparison) {
  const auto bad = std::ranges::count_if(comparison.rows, &ComparedRow::regressed);
  const std::string all = std::to_string(comparison.rows.size()) + " rows";
  return bad == 0 ? "holds: " + all : "regressed: " + std::to_string(bad) + " of " + all;
}

void print_line(const Cells& cells, const std::array<std::size_t, 8>& widths, std::ostream& out) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string fill(widths[i] - std::min(widths[i], cells[i].size()), ' ');
    const bool text = i < 2 || i + 1 == cells.size();
    line += (i == 0 ? "" : "  ") + (text ? cells[i] + fill : fill + cells[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out << line << '\n';
}

std::array<std::size_t, 8> widths_of(const Comparison& comparison) {
  std::array<std::size_t, 8> widths{};
  std::ranges::transform(kHeadings, widths.begin(), &std::string_view::size);
  for (const ComparedRow& row : comparison.rows) {
    for (const ComparedFigure& figure : row.figures) {
      const Cells cells = cells_of(row, figure);
      for (std::size_t i = 0; i < cells.size(); ++i) {
        widths[i] = std::max(widths[i], cells[i].size());
      }
    }
  }
  return widths;
}

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json to_json(const ComparedFigure& figure) {
  return {{"figure", figure.key},
          {"old", or_null(figure.before)},
          {"new", or_null(figure.after)},
          {"change", or_null(figure.change)},
          {"limit", figure.limit},
          {"noise", or_null(figure.noise)},
          {"beyond_noise", figure.beyond_noise ? Json(*figure.beyond_noise) : Json(nullptr)},
          {"verdict", name_of(figure.verdict)}};
}

Json to_json(const ComparedRow& row) {
  Json figures = Json::array();
  for (const ComparedFigure& figure : row.figures) {
    figures.push_back(to_json(figure));
  }
  return {{"model", row.model},
          {"dataset", row.dataset},
          {"protocol", row.protocol},
          {"policy", row.policy},
          {"device_kind", row.device_kind},
          {"method", row.method},
          {"regressed", row.regressed},
          {"notes", row.notes},
          {"figures", std::move(figures)}};
}

void print_markdown_head(const ComparedRow& row, std::ostream& out) {
  out << "**" << markdown_cell(table_name(row, ", ")) << "**\n\n|";
  for (const std::string_view heading : kHeadings) {
    out << ' ' << heading << " |";
  }
  out << "\n| --- | --- | ---: | ---: | ---: | ---: | --- | --- |\n";
}

}  // namespace

void print_table(const Comparison& comparison, std::ostream& out) {
  const auto widths = widths_of(comparison);
  std::string table;
  for (const ComparedRow& row : comparison.rows) {
    if (const std::string name = table_name(row, " | "); name != table) {
      out << (table.empty() ? "" : "\n") << one_line(name) << '\n';
      Cells headings;
      std::ranges::copy(kHeadings, headings.begin());
      print_line(headings, widths, out);
      table = name;
    }
    for (const ComparedFigure& figure : row.figures) {
      Cells cells = cells_of(row, figure);
      cells.front() = one_line(cells.front());
      print_line(cells, widths, out);
    }
    for (const std::string& note : row.notes) {
      out << one_line(row.method + ": " + note) << '\n';
    }
  }
  out << '\n' << verdict_line(comparison) << '\n';
}

void print_json(const Comparison& comparison, std::ostream& out) {
  Json rows = Json::array();
  for (const ComparedRow& row : comparison.rows) {
    rows.push_back(to_json(row));
  }
  const Json document = {{"schema", "kvgauge.compare/1"},
                         {"verdict", comparison.regressed ? "regressed" : "holds"},
                         {"rows", std::move(rows)}};
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

void print_markdown(const Comparison& comparison, std::ostream& out) {
  std::string table;
  std::string notes;
  for (const ComparedRow& row : comparison.rows) {
    if (const std::string name = table_name(row, ", "); name != table) {
      out << (table.empty() ? "" : "\n");
      print_markdown_head(row, out);
      table = name;
    }
    for (const ComparedFigure& figure : row.figures) {
      out << '|';
      for (const std::string& cell : cells_of(row, figure)) {
        out << ' ' << markdown_cell(cell) << " |";
      }
      out << '\n';
    }
    for (const std::string& note : row.notes) {
      notes += "- " + markdown_cell(row.method + ": " + note) + "\n";
    }
  }
  out << '\n' << notes << (notes.empty() ? "" : "\n") << verdict_line(comparison) << '\n';
}

}  // namespace kvg::harness
