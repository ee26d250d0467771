#include <algorithm>
#include <ostream>
#include <string>

#include "harness/columns.h"
#include "harness/plain_text.h"
#include "harness/reporters/reporters.h"

namespace kvg::harness {
namespace {

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kPlain = "\x1b[0m";

// Wide enough for every figure of a usual run; a wider one pushes its own row alone.
constexpr std::size_t kFigureWidth = 9;

std::string pad_left(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string pad_right(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, text.size()), ' ');
}

class TableReporter final : public Reporter {
 public:
  TableReporter(std::ostream& out, bool colour) : out_(out), colour_(colour) {}

  void begin_table(const TableInfo& table) override {
    on_cuda_ = table.on_cuda;
    asks_ = table.asks;
    method_width_ = 0;
    for (const std::string& method : table.methods) {
      method_width_ = std::max(method_width_, method.size());
    }
    out_ << (begun_ ? "\n" : "");
    begun_ = true;
    paint(kBold,
          one_line(table.model + " | " + table.dataset + " | " + table.protocol + " | " +
                   table.device + (table.variant.empty() ? "" : " | " + table.variant)));
    out_ << '\n';
    std::string header;
    for (const Column& column : columns()) {
      if (shows(column)) {
        header += cell(column, std::string(column.heading));
      }
    }
    out_ << header << std::endl;
  }

  void add(const Record& record) override {
    if (record.status == Status::kFailed) {
      out_ << pad_right(one_line(record.method), width_of_method());
      paint(kRed, "  failed: " + record.error);
      out_ << std::endl;
      return;
    }
    std::string line;
    for (const Column& column : columns()) {
      if (shows(column)) {
        line += cell(column, one_line(shown_text(column, column.get(record))));
      }
    }
    // Flushed, so that rows are seen as they are measured.
    out_ << line << std::endl;
  }

 private:
  [[nodiscard]] bool shows(const Column& column) const {
    return column.shown == Shown::kAlways || (column.shown == Shown::kOnTasks && asks_) ||
           column.shown == (on_cuda_ ? Shown::kOnCuda : Shown::kOnCpu);
  }

  [[nodiscard]] std::size_t width_of_method() const {
    return std::max(method_width_, std::string_view("Method").size());
  }

  [[nodiscard]] std::string cell(const Column& column, const std::string& text) const {
    return column.key == "method" ? pad_right(text, width_of_method())
                                  : "  " + pad_left(text, kFigureWidth);
  }

  void paint(std::string_view colour, const std::string& text) {
    if (colour_) {
      out_ << colour << text << kPlain;
    } else {
      out_ << text;
    }
  }

  std::ostream& out_;
  bool colour_;
  bool on_cuda_ = false;
  bool asks_ = false;
  bool begun_ = false;
  std::size_t method_width_ = 0;
};

}  // namespace

std::unique_ptr<Reporter> make_table_reporter(std::ostream& out, bool colour) {
  return std::make_unique<TableReporter>(out, colour);
}

}  // namespace kvg::harness
