#pragma once

#include <iosfwd>

#include "harness/sweep.h"

namespace kvg::harness::cli {

/// The predicted memory of every row of one experiment by class, a table a text; what cannot be
/// planned with the reason.
void print_plan(const Sweep::Part& part, std::ostream& out);

}  // namespace kvg::harness::cli
