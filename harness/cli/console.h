#pragma once

#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/session.h"

namespace kvg::harness::cli {

/// Warnings and progress on the console. On a terminal progress is one line written over; elsewhere
/// it is a line now and then. Warnings are held until they are asked for, so that a run that is
/// refused says why and nothing else.
class Console final : public Listener {
 public:
  struct Options {
    bool progress = false;  ///< of what is under way
    bool cells = false;     ///< of all cells: a bar, or a line each
    bool terminal = false;
  };

  /// `out` outlives it.
  Console(std::ostream& out, const Options& options) : out_(out), options_(options) {}

  void warn(const std::string& line) override;
  void progress(std::string_view what, std::size_t done, std::size_t total) override;
  void idle() override;
  void cells(std::size_t done, std::size_t total) override;
  [[nodiscard]] bool stopping() const override;

  void show_warnings();

 private:
  using Clock = std::chrono::steady_clock;

  void show(const std::string& line);

  std::ostream& out_;
  Options options_;
  Clock::time_point last_;
  bool line_open_ = false;
  std::vector<std::string> warnings_;
  std::string cells_line_;                  ///< how far the cells are; empty: not told
  std::size_t finished_before_ = 0;         ///< cells, when the first was begun
  std::optional<Clock::time_point> begun_;  ///< the first cell
};

/// "3 of 12 cells, 1.5 a second, 6 s left": `seconds` went by for the last `measured` of `done`.
[[nodiscard]] std::string cells_text(std::size_t done,
                                     std::size_t total,
                                     std::size_t measured,
                                     double seconds);

}  // namespace kvg::harness::cli
