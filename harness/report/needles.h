#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/report/run_tables.h"

namespace kvg::harness::report {

/// What one policy found, by where in the text it was and how long the text was.
struct NeedleGrid {
  struct Cell {
    double score_sum = 0.0;
    int answers = 0;  ///< 0: nothing was asked there
  };

  std::string name;                      ///< of the policy
  std::vector<std::int64_t> contexts;    ///< rising, tokens of a prompt
  std::vector<int> depths;               ///< rising, percent of the text before what is asked for
  std::vector<std::vector<Cell>> cells;  ///< [depths][contexts]
};

/// One grid a policy, of the rows whose samples tell how deep each answer lay.
[[nodiscard]] std::vector<NeedleGrid> needle_grids(const RunTable& table);

/// An answer that scored below 1.
struct Miss {
  std::string name;   ///< of the row
  std::string depth;  ///< "50 %", or "-"
  std::string text;   ///< as far as it is shown
  double score = 0.0;
};

/// The first misses of a table, at most `most`.
[[nodiscard]] std::vector<Miss> misses(const RunTable& table, std::size_t most);

}  // namespace kvg::harness::report
