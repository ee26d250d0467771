#include "harness/reporter.h"

namespace kvg::harness {

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
