#include "harness/reporter.h"

#include <nlohmann/json.hpp>

namespace kvg::harness {

void Reporters::recall(std::span<const nlohmann::ordered_json> lines) {
  for (const auto& reporter : all_) {
    reporter->recall(lines);
  }
}

void Reporters::begin_run(const Environment& environment) {
  for (const auto& reporter : all_) {
    reporter->begin_run(environment);
  }
}

void Reporters::begin_table(const TableInfo& table) {
  for (const auto& reporter : all_) {
    reporter->begin_table(table);
  }
}

void Reporters::add(const Record& record) {
  for (const auto& reporter : all_) {
    reporter->add(record);
  }
}

}  // namespace kvg::harness
