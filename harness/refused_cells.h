#pragma once

#include <string>
#include <vector>

#include "harness/environment.h"
#include "harness/reporter.h"
#include "harness/session.h"

namespace kvg::harness {

/// One text of an experiment that cannot begin, and its failed rows, one a policy.
struct RefusedTable {
  TableInfo table;
  std::vector<Record> records;
};

/// What stands in the place of an experiment whose model cannot be opened, or whose choices do not
/// go together: rows that fail with `reason` and tell of themselves what is known without a model.
/// Throws InvalidArgument for a device that cannot be.
[[nodiscard]] std::vector<RefusedTable> refused_cells(const Experiment& experiment,
                                                      const std::string& reason,
                                                      Listener& listener);

/// Where they were refused.
[[nodiscard]] Environment environment_of_refusal(const Experiment& experiment,
                                                 const std::vector<std::string>& command);

}  // namespace kvg::harness
