#include "harness/cli/plan_table.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <ostream>
#include <string>

#include "harness/columns.h"
#include "harness/plain_text.h"

namespace kvg::harness::cli {
namespace {

constexpr int kWidth = 12;

struct Part {
  std::string_view heading;
  std::size_t (*bytes)(const model::MemoryPlan& plan);
};

constexpr std::array kParts{
    Part{"Weights", [](const model::MemoryPlan& plan) { return plan.weights; }},
    Part{"KV", [](const model::MemoryPlan& plan) { return plan.kv; }},
    Part{"Activations", [](const model::MemoryPlan& plan) { return plan.activations; }},
    Part{"Workspace", [](const model::MemoryPlan& plan) { return plan.workspace; }},
    Part{"Observations", [](const model::MemoryPlan& plan) { return plan.observations; }},
    Part{"Total", [](const model::MemoryPlan& plan) { return plan.total(); }}};

int method_width(const TableInfo& table) {
  std::size_t width = 6;
  for (const std::string& method : table.methods) {
    width = std::max(width, method.size());
  }
  return static_cast<int>(width);
}

void print_header(const TableInfo& table, std::ostream& out) {
  out << table.model << " | " << table.dataset << " | " << table.protocol << " | " << table.device
      << " | predicted peak in GB\n"
      << std::left << std::setw(method_width(table)) << "Method" << std::right;
  for (const Part& part : kParts) {
    out << "  " << std::setw(kWidth) << part.heading;
  }
  out << '\n';
}

void print_refusal(const std::string& method,
                   int width,
                   const std::string& why,
                   std::ostream& out) {
  out << std::left << std::setw(width) << method << std::right << "  cannot be run: " << why
      << '\n';
}

void print_row(const PlannedRow& row, int width, std::ostream& out) {
  constexpr double kGigabyte = 1024.0 * 1024.0 * 1024.0;
  if (!row.refused.empty()) {
    print_refusal(row.policy->method, width, one_line(row.refused), out);
    return;
  }
  out << std::left << std::setw(width) << row.policy->method << std::right;
  for (const Part& part : kParts) {
    out << "  " << std::setw(kWidth)
        << four_digits(static_cast<double>(part.bytes(row.plan)) / kGigabyte);
  }
  out << (row.does_not_fit.empty() ? "" : "  does not fit") << '\n';
}

void print_session(const Session& session, std::ostream& out) {
  const Workload* workload = nullptr;
  int width = 0;
  for (const PlannedRow& row : session.rows()) {
    if (row.workload != workload) {
      out << (workload == nullptr ? "" : "\n");
      workload = row.workload;
      const TableInfo table = session.table_of(row);
      width = method_width(table);
      print_header(table, out);
    }
    print_row(row, width, out);
  }
}

}  // namespace

void print_plan(const Sweep::Part& part, std::ostream& out) {
  if (part.session != nullptr) {
    print_session(*part.session, out);
  }
  const char* between = "";
  for (const RefusedTable& refused : part.refused) {
    out << between;
    between = "\n";
    print_header(refused.table, out);
    for (const Record& record : refused.records) {
      print_refusal(record.method, method_width(refused.table), record.error, out);
    }
  }
}

}  // namespace kvg::harness::cli
