#include "harness/report/run_tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "harness/columns.h"

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kUnknown = "-";

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) {
    return nullptr;
  }
  if (const auto it = object.find(std::string(key)); it != object.end()) {
    return &*it;
  }
  const std::size_t dot = key.find('.');
  const Json* const inner =
      dot == std::string_view::npos ? nullptr : find(object, key.substr(0, dot));
  return inner == nullptr ? nullptr : find(*inner, key.substr(dot + 1));
}

// A record of a stranger may hold anything anywhere: only what the column is of is read.
Value value_of(const Json& record, const Column& column) {
  const Json* const member = find(record, column.key);
  if (member == nullptr) {
    return {};
  }
  if (column.type == ColumnType::kText && member->is_string()) {
    return beginning(member->get<std::string>());
  }
  if (column.type == ColumnType::kReal && member->is_number()) {
    return member->get<double>();
  }
  if (column.type == ColumnType::kInteger && member->is_number_integer() &&
      (!member->is_number_unsigned() || member->get<std::uint64_t>() <= INT64_MAX)) {
    return member->get<std::int64_t>();
  }
  return {};
}

bool shows(const Column& column, const Json& record) {
  const Json* const member = find(record, column.key);
  if (member == nullptr) {
    return false;
  }
  switch (column.shown) {
    case Shown::kNever:
      return false;
    case Shown::kAlways:
      return true;
    case Shown::kOnTasks:
      return text_member(record, "protocol") == "task";
    case Shown::kOnCuda:
      return text_member(record, "device").starts_with("cuda");
    case Shown::kOnCpu:
      return !text_member(record, "device").starts_with("cuda");
    case Shown::kOnReports:
      return !member->is_null();
  }
  return false;
}

std::string name_of(const Json& record) {
  return text_member(record, "model") + ", " + text_member(record, "dataset") + ", " +
         text_member(record, "protocol") + ", " + text_member(record, "device") + ", " +
         text_member(record, "dtype");
}

using Records = std::vector<const Json*>;

std::vector<std::pair<std::string, Records>> grouped(const Json& run) {
  std::vector<std::pair<std::string, Records>> groups;
  std::map<std::string, std::size_t> places;
  for (const Json& record : run.at("records")) {
    const std::string name = name_of(record);
    const auto [place, is_new] = places.emplace(name, groups.size());
    if (is_new) {
      groups.emplace_back(name, Records{});
    }
    groups[place->second].second.push_back(&record);
  }
  return groups;
}

std::string shown_setting(const Json* value) {
  if (value == nullptr || value->is_null() || value->is_structured()) {
    return std::string(kUnknown);
  }
  return value->is_string() ? beginning(value->get<std::string>()) : value->dump();
}

bool varies(const Records& records, std::string_view key) {
  const std::string first = shown_setting(find(*records.front(), key));
  return std::ranges::any_of(
      records, [&](const Json* record) { return shown_setting(find(*record, key)) != first; });
}

// Keys of what rows were measured with that is not the same in all of them.
std::vector<std::string> varying_settings(const Records& records) {
  std::set<std::string> keys;
  for (const Json* const record : records) {
    if (const Json* const settings = find(*record, "settings");
        settings != nullptr && settings->is_object()) {
      for (const auto& [key, value] : settings->items()) {
        keys.insert("settings." + key);
      }
    }
  }
  std::vector<std::string> varying;
  for (const std::string& key : keys) {
    if (varying.size() < kMostSettings && varies(records, key)) {
      varying.push_back(key);
    }
  }
  return varying;
}

std::string heading_of(const std::string& key) {
  std::string heading = beginning(key.substr(key.find('.') + 1));
  std::ranges::replace(heading, '_', ' ');
  return heading;
}

// What tells rows of one policy apart.
std::string variant_of(const Json& record, const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) {
    text += (text.empty() ? "" : ", ") + heading_of(key) + " " + shown_setting(find(record, key));
  }
  return text;
}

std::vector<std::string> varying_keys(const Records& records,
                                      const std::vector<std::string>& settings) {
  std::vector<std::string> keys;
  for (const char* key : {"query", "context"}) {
    if (varies(records, key)) {
      keys.emplace_back(key);
    }
  }
  keys.insert(keys.end(), settings.begin(), settings.end());
  return keys;
}

Cell cell_of(const Json& record, const Column& column) {
  const Value value = value_of(record, column);
  Cell cell{.text = shown_text(column, value),
            .number = {},
            .known = !std::holds_alternative<std::monostate>(value)};
  if (const auto* const real = std::get_if<double>(&value)) {
    cell.number = *real;
  } else if (const auto* const count = std::get_if<std::int64_t>(&value)) {
    cell.number = static_cast<double>(*count);
  }
  return cell;
}

Cell setting_cell(const Json& record, const std::string& key) {
  const std::string text = shown_setting(find(record, key));
  return {.text = text, .number = number_member(record, key), .known = text != kUnknown};
}

// Figures that read alike are equally good: digits that are not shown decide nothing.
void mark_best(std::span<TableRow* const> rows, std::size_t column, Better better) {
  const double sign = better == Better::kLower ? 1.0 : -1.0;
  const Cell* best = nullptr;
  std::set<std::string> texts;
  for (const TableRow* const row : rows) {
    const Cell& cell = row->cells[column];
    if (!cell.number) {
      continue;
    }
    texts.insert(cell.text);
    if (best == nullptr || sign * *cell.number < sign * *best->number) {
      best = &cell;
    }
  }
  if (best == nullptr || texts.size() < 2) {
    return;
  }
  const std::string text = best->text;
  for (TableRow* const row : rows) {
    row->cells[column].best = row->cells[column].text == text;
  }
}

// Rows of other settings are other questions: each has its best.
void mark_best(RunTable& table, std::span<const Column* const> figures) {
  std::map<std::string, std::vector<TableRow*>> by_variant;
  for (TableRow& row : table.rows) {
    if (!row.failed) {
      by_variant[row.variant].push_back(&row);
    }
  }
  for (const auto& [variant, rows] : by_variant) {
    for (std::size_t i = 0; i < figures.size(); ++i) {
      if (figures[i]->better != Better::kNeither) {
        mark_best(rows, i, figures[i]->better);
      }
    }
  }
}

// Which columns a table has: figures of the one table of columns, then the settings that vary.
struct Layout {
  std::vector<const Column*> figures;
  std::vector<std::string> settings;
  std::vector<std::string> variant;
};

Layout layout_of(const Records& records) {
  Layout layout{.figures = {}, .settings = varying_settings(records), .variant = {}};
  layout.variant = varying_keys(records, layout.settings);
  for (const Column& column : columns()) {
    if (std::ranges::any_of(records, [&](const Json* r) { return shows(column, *r); })) {
      layout.figures.push_back(&column);
    }
  }
  return layout;
}

std::vector<TableColumn> columns_of(const Layout& layout) {
  std::vector<TableColumn> columns;
  for (const Column* const column : layout.figures) {
    columns.push_back({.key = std::string(column->key),
                       .heading = std::string(column->heading),
                       .unit = std::string(column->unit),
                       .is_text = column->type == ColumnType::kText});
  }
  for (const std::string& key : layout.settings) {
    columns.push_back({.key = key, .heading = heading_of(key), .unit = {}, .is_text = true});
  }
  return columns;
}

TableRow row_of(const Json& record, const Layout& layout) {
  TableRow row{.record = &record,
               .method = text_member(record, "method"),
               .variant = variant_of(record, layout.variant),
               .failed = text_member(record, "status") != "ok",
               .error = text_member(record, "error"),
               .cells = {}};
  if (row.failed) {
    return row;
  }
  for (const Column* const column : layout.figures) {
    row.cells.push_back(cell_of(record, *column));
  }
  for (const std::string& key : layout.settings) {
    row.cells.push_back(setting_cell(record, key));
  }
  return row;
}

RunTable table_of(const std::string& name, const Records& records) {
  const Layout layout = layout_of(records);
  RunTable table{.name = name, .columns = columns_of(layout), .rows = {}};
  for (const Json* const record : records) {
    table.rows.push_back(row_of(*record, layout));
  }
  mark_best(table, layout.figures);
  return table;
}

}  // namespace

std::vector<RunTable> tables_of(const Json& run) {
  std::vector<RunTable> tables;
  for (const auto& [name, records] : grouped(run)) {
    tables.push_back(table_of(name, records));
  }
  return tables;
}

std::string beginning(const std::string& text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) {
    return text;
  }
  std::size_t end = most_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
    --end;
  }
  return text.substr(0, end) + "...";
}

std::string text_member(const Json& object, std::string_view key) {
  const Json* const member = find(object, key);
  return member != nullptr && member->is_string() ? beginning(member->get<std::string>())
                                                  : std::string(kUnknown);
}

std::optional<double> number_member(const Json& object, std::string_view key) {
  const Json* const member = find(object, key);
  if (member == nullptr || !member->is_number() || !std::isfinite(member->get<double>())) {
    return {};
  }
  return member->get<double>();
}

const Json& array_member(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  const Json* const member = find(object, key);
  return member != nullptr && member->is_array() ? *member : kNone;
}

}  // namespace kvg::harness::report
