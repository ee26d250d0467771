#pragma once

#include <iosfwd>

#include "harness/session.h"

namespace kvg::harness::cli {

/// The predicted memory of every row of a session by class, a table a text.
void print_plan(const Session& session, std::ostream& out);

}  // namespace kvg::harness::cli
